//go:build unix

package podlogs

import (
	"os"
	"syscall"
)

func idOf(info os.FileInfo) (fileID, bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fileID{}, false
	}
	return fileID{device: uint64(st.Dev), inode: st.Ino}, true
}
