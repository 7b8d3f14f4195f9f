package shred

// clockLayout is one way to write a time of day, or a date and a time:
// [2006-01-02(T| )]15:04:05[(.|,)000], and what follows it.
type clockLayout struct {
	date      bool
	separator byte // between date and time
	point     byte // before the fraction
	digits    int  // of the fraction, 0 to 9
	suffix    string
}

const (
	clockDate  = 1 << 0
	clockSpace = 1 << 1 // a space instead of a T
	clockComma = 1 << 2 // a comma instead of a point
)

const (
	secondsPerDay = 24 * 60 * 60
	nanosPerSec   = 1_000_000_000
)

func (l clockLayout) flags() byte {
	f := byte(0)
	if l.date {
		f |= clockDate
	}
	if l.separator == ' ' {
		f |= clockSpace
	}
	if l.point == ',' {
		f |= clockComma
	}
	return f
}

func layoutOf(flags byte, digits int, suffix string) clockLayout {
	l := clockLayout{date: flags&clockDate != 0, separator: 'T', point: '.', digits: digits, suffix: suffix}
	if flags&clockSpace != 0 {
		l.separator = ' '
	}
	if flags&clockComma != 0 {
		l.point = ','
	}
	return l
}

// clockLayoutOf recognizes a layout.
func clockLayoutOf(v []byte) (clockLayout, bool) {
	l := clockLayout{separator: 'T', point: '.'}
	if len(v) > 10 && v[4] == '-' && v[7] == '-' && (v[10] == 'T' || v[10] == ' ') {
		l.date, l.separator = true, v[10]
		v = v[11:]
	}
	if len(v) < 8 || v[2] != ':' || v[5] != ':' {
		return l, false
	}
	if v = v[8:]; len(v) > 0 && (v[0] == '.' || v[0] == ',') {
		n := 1
		for n < len(v) && n <= 9 && classes[v[n]] == classDigit {
			n++
		}
		if n == 1 {
			return l, false
		}
		l.point, l.digits = v[0], n-1
		v = v[n:]
	}
	if len(v) > 16 {
		return l, false
	}
	l.suffix = string(v)
	return l, true
}

// unit is the last digit in nanoseconds.
func (l clockLayout) unit() int64 {
	u := int64(nanosPerSec)
	for range l.digits {
		u /= 10
	}
	return u
}

// now is a row's time in units.
func (l clockLayout) now(ts, unit int64) int64 {
	n := ts / unit
	if ts%unit < 0 {
		n--
	}
	return n
}

// difference is the written time minus the row's, in units, if format gives the
// same text for it again. scratch is memory for the comparison.
func (l clockLayout) difference(v []byte, ts, unit int64, scratch *[]byte) (int64, bool) {
	if len(v) < 8 {
		return 0, false
	}
	rest := v
	days := int64(0)
	if l.date {
		if len(v) < 19 {
			return 0, false
		}
		days = daysOf(number(v[:4]), number(v[5:7]), number(v[8:10]))
		rest = v[11:]
	}
	t := number(rest[:2])*3600 + number(rest[3:5])*60 + number(rest[6:8])
	perSec := nanosPerSec / unit
	units := (days*secondsPerDay + t) * perSec
	if l.digits > 0 && len(rest) > 9+l.digits-1 {
		units += number(rest[9 : 9+l.digits])
	}
	d := units - l.now(ts, unit)
	if !l.date {
		day := secondsPerDay * perSec
		d = (d%day + day) % day
		if d > day/2 {
			d -= day
		}
	}
	*scratch = l.format((*scratch)[:0], ts, d, unit)
	return d, string(*scratch) == string(v)
}

// number is the value of decimal digits; what is none gives a wrong one, which
// the comparison in difference finds.
func number(v []byte) int64 {
	n := int64(0)
	for _, c := range v {
		n = n*10 + int64(c-'0')
	}
	return n
}

// format appends the time that differs from the row's by d units.
func (l clockLayout) format(dst []byte, ts, d, unit int64) []byte {
	perSec := nanosPerSec / unit
	day := secondsPerDay * perSec
	units := l.now(ts, unit) + d
	days := units / day
	if units %= day; units < 0 {
		units += day
		days--
	}
	if l.date {
		y, m, dd := dateOf(days)
		dst = appendInteger(dst, y, 4)
		dst = append(dst, '-')
		dst = appendTwo(dst, m)
		dst = append(dst, '-')
		dst = appendTwo(dst, dd)
		dst = append(dst, l.separator)
	}
	sec := units / perSec
	dst = appendTwo(dst, sec/3600)
	dst = append(dst, ':')
	dst = appendTwo(dst, sec/60%60)
	dst = append(dst, ':')
	dst = appendTwo(dst, sec%60)
	if l.digits > 0 {
		dst = append(dst, l.point)
		dst = appendInteger(dst, units%perSec, l.digits)
	}
	return append(dst, l.suffix...)
}

func appendTwo(dst []byte, v int64) []byte { return append(dst, byte('0'+v/10), byte('0'+v%10)) }

// daysOf counts the days from 1970-01-01 to a date of the Gregorian calendar, by
// years that begin in March, so that the leap day is their last one.
func daysOf(y, m, d int64) int64 {
	if m <= 2 {
		y--
		m += 12
	}
	era := floorDiv(y, 400)
	yoe := y - era*400
	return era*146097 + yoe*365 + yoe/4 - yoe/100 + (153*(m-3)+2)/5 + d - 1 - 719468
}

// dateOf is the reverse of daysOf.
func dateOf(days int64) (y, m, d int64) {
	days += 719468
	era := floorDiv(days, 146097)
	doe := days - era*146097
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	month := (5*doy + 2) / 153
	y, m, d = yoe+era*400, month+3, doy-(153*month+2)/5+1
	if m > 12 {
		y, m = y+1, m-12
	}
	return y, m, d
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// clocks leaves the differences in e.numbers if all values are times of one layout.
func (e *Encoder) clocks(t *texts) (clockLayout, bool) {
	if t.times == nil {
		return clockLayout{}, false
	}
	l, ok := clockLayoutOf(t.at(0))
	if !ok {
		return l, false
	}
	unit := l.unit()
	e.numbers = e.numbers[:0]
	for i := range t.spans {
		d, ok := l.difference(t.at(i), t.time(i), unit, &e.scratch)
		if !ok {
			return l, false
		}
		e.numbers = append(e.numbers, d)
	}
	// Times that have nothing to do with the row's are better off as they are.
	least, most := e.numbers[0], e.numbers[0]
	for _, d := range e.numbers {
		least, most = min(least, d), max(most, d)
	}
	return l, planeWidth(uint64(most-least)) <= 3
}
