package replay

import (
	"encoding/json"
	"strconv"
	"time"
)

// AppendJSON appends what encoding/json makes of a step. A history has millions of them.
func (s *Step) AppendJSON(b []byte) ([]byte, error) {
	container, err := json.Marshal(s.Container)
	if err != nil {
		return b, err
	}
	b = append(b, `{"time":"`...)
	b = s.Time.AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","container":`...)
	b = append(b, container...)
	b = append(b, `,"resource":"`...)
	b = append(b, s.Resource...)
	b = append(b, `","usage":`...)
	b = appendNumber(b, &s.Usage)
	b = append(b, `,"request":`...)
	b = appendNumber(b, s.Request)
	b = append(b, `,"recommended":`...)
	b = appendNumber(b, s.Recommended)
	b = append(b, `,"next":`...)
	b = appendNumber(b, s.Next)
	if s.Model != "" {
		b = append(b, `,"model":`...)
		b = strconv.AppendQuoteToASCII(b, s.Model)
	}
	for _, mark := range [...]struct {
		set  bool
		text string
	}{{s.Warmup, `,"warmup":true`}, {s.Over, `,"over":true`}, {s.OOM, `,"oom":true`}, {s.Change, `,"change":true`}} {
		if mark.set {
			b = append(b, mark.text...)
		}
	}
	if s.Reason != "" {
		reason, err := json.Marshal(s.Reason)
		if err != nil {
			return b, err
		}
		b = append(b, `,"reason":`...)
		b = append(b, reason...)
	}
	return append(b, '}'), nil
}

func appendNumber(b []byte, v *float64) []byte {
	if v == nil {
		return append(b, "null"...)
	}
	return strconv.AppendFloat(b, *v, 'g', -1, 64)
}
