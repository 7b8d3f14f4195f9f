package traceql

import (
	"strconv"
	"strings"
)

// Scope says where an attribute stands.
type Scope uint8

// The scopes. AnyScope is the span, and the resource where the span has none.
const (
	AnyScope Scope = iota
	SpanScope
	ResourceScope
	EventScope
	LinkScope
	InstrumentationScope
)

var scopeNames = [...]string{"", "span", "resource", "event", "link", "instrumentation"}

// String is the scope as queries write it, empty for any.
func (s Scope) String() string { return scopeNames[s] }

// Intrinsic is a property that every span or trace has of itself.
type Intrinsic uint8

// The intrinsics. Those from ChildCount on need the whole trace; of
// NestedSetParent its sign is known from a span alone.
const (
	NoIntrinsic Intrinsic = iota
	SpanName
	SpanKind
	SpanStatus
	SpanStatusMessage
	SpanDuration
	SpanID
	SpanParentID
	TraceID
	EventName
	EventTimeSinceStart
	LinkTraceID
	LinkSpanID
	InstrumentationName
	InstrumentationVersion
	ChildCount
	NestedSetLeft
	NestedSetRight
	NestedSetParent
	TraceDuration
	RootName
	RootServiceName
)

type intrinsicInfo struct {
	intrinsic Intrinsic
	typ       Type
}

// intrinsics by the names that queries use.
var intrinsics = map[string]intrinsicInfo{
	"name": {SpanName, String}, "kind": {SpanKind, Kind}, "status": {SpanStatus, Status},
	"statusMessage": {SpanStatusMessage, String}, "duration": {SpanDuration, Duration},
	"childCount": {ChildCount, Int}, "nestedSetLeft": {NestedSetLeft, Int}, "nestedSetRight": {NestedSetRight, Int},
	"nestedSetParent": {NestedSetParent, Int}, "traceDuration": {TraceDuration, Duration},
	"rootName": {RootName, String}, "rootServiceName": {RootServiceName, String},

	"span:name": {SpanName, String}, "span:kind": {SpanKind, Kind}, "span:status": {SpanStatus, Status},
	"span:statusMessage": {SpanStatusMessage, String}, "span:duration": {SpanDuration, Duration},
	"span:id": {SpanID, String}, "span:parentID": {SpanParentID, String}, "span:childCount": {ChildCount, Int},
	"trace:id": {TraceID, String}, "trace:duration": {TraceDuration, Duration},
	"trace:rootName": {RootName, String}, "trace:rootService": {RootServiceName, String},
	"event:name": {EventName, String}, "event:timeSinceStart": {EventTimeSinceStart, Duration},
	"link:traceID": {LinkTraceID, String}, "link:spanID": {LinkSpanID, String},
	"instrumentation:name": {InstrumentationName, String}, "instrumentation:version": {InstrumentationVersion, String},
}

// Intrinsics are the names of all intrinsics that queries may use, in no order.
func Intrinsics() []string {
	out := make([]string, 0, len(intrinsics))
	for name := range intrinsics {
		out = append(out, name)
	}
	return out
}

// Field names an attribute or an intrinsic of a span. Fields are comparable.
type Field struct {
	Scope     Scope
	Intrinsic Intrinsic
	Parent    bool   // of the span's parent
	Name      string // the attribute's key, or the intrinsic as it was written
	typ       Type
}

// Attribute makes the field of an attribute.
func Attribute(scope Scope, key string) Field { return Field{Scope: scope, Name: key, typ: Any} }

// intrinsicField makes the field of an intrinsic that exists.
func intrinsicField(name string) Field {
	info := intrinsics[name]
	return Field{Intrinsic: info.intrinsic, Name: name, typ: info.typ}
}

// Type is what the field's values are, Any for attributes.
func (f Field) Type() Type { return f.typ }

// Many reports whether a span may hold several values: those of its events or links.
func (f Field) Many() bool {
	return f.Scope == EventScope || f.Scope == LinkScope ||
		f.Intrinsic >= EventName && f.Intrinsic <= LinkSpanID
}

// NeedsTrace reports whether the field's value cannot be known from the span alone.
func (f Field) NeedsTrace() bool { return f.Parent || f.Intrinsic >= ChildCount }

// String is the field as a query writes it.
func (f Field) String() string {
	if f.Intrinsic != NoIntrinsic {
		return f.Name
	}
	prefix := ""
	if f.Parent {
		prefix = "parent."
		if f.Scope != AnyScope {
			prefix += f.Scope.String() + "."
		}
	} else {
		prefix = f.Scope.String() + "."
	}
	for i, r := range f.Name {
		// After a dot alone a digit would begin a number.
		if !isAttributeRune(r) || i == 0 && prefix == "." && r >= '0' && r <= '9' {
			return prefix + strconv.Quote(f.Name)
		}
	}
	return prefix + f.Name
}

// ParseField reads a field as it stands in a query: an attribute with or without its
// scope, or an intrinsic.
func ParseField(text string) (Field, error) {
	l := lexer{src: text}
	tok := l.next()
	if tok.kind == tokenIdentifier {
		if _, ok := intrinsics[tok.text]; ok {
			tok.kind, tok.field = tokenField, intrinsicField(tok.text)
		}
	}
	if tok.kind == tokenError {
		return Field{}, l.errorAt(tok.pos, tok.text)
	}
	if end := l.next(); tok.kind != tokenField || end.kind != tokenEnd {
		return Field{}, l.errorAt(tok.pos, "want one attribute, as in span.name, or one intrinsic, got "+strconv.Quote(strings.TrimSpace(text)))
	}
	return tok.field, nil
}
