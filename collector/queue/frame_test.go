package queue

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

// readAll reads every frame that can be read, searching behind what cannot.
func readAll(content []byte, salt uint32) (frames []frame) {
	r := &frameReader{file: bytes.NewReader(content), salt: salt, end: int64(len(content))}
	for offset := int64(0); offset < r.end; {
		h, err := r.header(offset)
		if err != nil {
			if offset, err = r.next(offset + 1); err != nil {
				return frames
			}
			continue
		}
		if f, err := r.frame(offset, h); err == nil {
			f.positions, f.payload = bytes.Clone(f.positions), bytes.Clone(f.payload)
			frames = append(frames, f)
		}
		offset += h.size()
	}
	return frames
}

// FuzzFrames puts anything between two frames and expects both of them back.
func FuzzFrames(f *testing.F) {
	f.Add([]byte{}, []byte("payload"), uint64(1))
	f.Add(appendFrame(nil, 7, frame{kind: recordFrame, sequence: 9, payload: []byte("x")}), []byte{}, uint64(2))
	f.Add(bytes.Repeat(frameMagic[:], 40), frameMagic[:], uint64(3))
	f.Fuzz(func(t *testing.T, between, payload []byte, salt uint64) {
		sum := saltSum(salt)
		first := frame{kind: recordFrame, sequence: 1, time: -5, positions: []byte{1, 'a', 0}, payload: payload}
		last := frame{kind: checkpointFrame, sequence: 2, time: 1 << 40, positions: []byte{}, payload: payload}
		content := appendFrame(nil, sum, first)
		content = append(content, between...)
		content = appendFrame(content, sum, last)
		frames := readAll(content, sum)
		require.GreaterOrEqual(t, len(frames), 2)
		for i, want := range map[int]frame{0: first, len(frames) - 1: last} {
			require.Equal(t, want.kind, frames[i].kind)
			require.Equal(t, want.sequence, frames[i].sequence)
			require.Equal(t, want.time, frames[i].time)
			require.Equal(t, string(want.positions), string(frames[i].positions))
			require.Equal(t, string(want.payload), string(frames[i].payload))
		}
		require.Empty(t, readAll(content, sum+1), "frames of another segment are none")
	})
}

func FuzzPositions(f *testing.F) {
	f.Add(appendPositions(nil, Positions{"a": []byte("1"), "b": nil, "": {}}))
	f.Add([]byte{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01})
	f.Fuzz(func(t *testing.T, block []byte) {
		p := Positions{}
		if err := applyPositions(p, block); err != nil {
			return
		}
		again := Positions{}
		require.NoError(t, applyPositions(again, appendPositions(nil, p)))
		require.Equal(t, p, again)
	})
}
