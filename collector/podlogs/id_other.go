//go:build !unix

package podlogs

import "os"

func idOf(os.FileInfo) (fileID, bool) { return fileID{}, false }
