package otlp

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// An Export*ServiceRequest of each signal is a list of Resource* messages in
// field 1, each of which begins with its Resource in field 1, each of which has
// its attributes in field 1.
const (
	fieldResources  protowire.Number = 1
	fieldResource   protowire.Number = 1
	fieldAttributes protowire.Number = 1
	fieldKey        protowire.Number = 1
	fieldValue      protowire.Number = 2
	fieldString     protowire.Number = 1
)

// attribute is a resource attribute with a text value.
type attribute struct{ key, value string }

// resource is what is read of a resource: the text attributes among the wanted
// keys, and of other types that they are there.
type resource map[string]string

// has says whether the resource has the attribute, of whatever type.
func (r resource) has(key string) bool {
	_, ok := r[key]
	return ok
}

// wanted are the attributes that are read.
var wanted = map[string]bool{
	attrServiceName: true, attrCluster: true, attrNamespace: true, attrPod: true, attrPodUID: true, attrPodIP: true,
	attrContainer: true, attrNode: true, attrContainerID: true,
	"k8s.deployment.name": true, "k8s.statefulset.name": true, "k8s.daemonset.name": true, "k8s.replicaset.name": true,
	"k8s.job.name": true, "k8s.cronjob.name": true,
}

// rewrite checks a request and appends it to out with the attributes that
// complete names for each resource. Nothing but lengths changes around them, and
// an attribute that a resource has is never added again. It returns the number of
// resources.
func rewrite(out, body []byte, schema *message, complete func(resource) []attribute) ([]byte, int, error) {
	resources := 0
	for len(body) > 0 {
		number, wire, n := protowire.ConsumeTag(body)
		if n < 0 {
			return nil, 0, fmt.Errorf("the request %w", errTag)
		}
		if number != fieldResources {
			m := protowire.ConsumeFieldValue(number, wire, body[n:])
			if m < 0 {
				return nil, 0, fmt.Errorf("unknown field %d of the request %w", number, errCut)
			}
			out = append(out, body[:n+m]...)
			body = body[n+m:]
			continue
		}
		if wire != protowire.BytesType {
			return nil, 0, fmt.Errorf("%s has wire type %d instead of %d", schema.name, wire, protowire.BytesType)
		}
		one, m := protowire.ConsumeBytes(body[n:])
		if m < 0 {
			return nil, 0, fmt.Errorf("%s %w", schema.name, errCut)
		}
		if err := schema.check(one, 1); err != nil {
			return nil, 0, err
		}
		out = appendCompleted(out, one, complete)
		resources++
		body = body[n+m:]
	}
	return out, resources, nil
}

// appendCompleted appends one checked Resource* message as a field of the
// request, with the attributes that its resource lacks.
func appendCompleted(out, one []byte, complete func(resource) []attribute) []byte {
	known, last := readResource(one)
	var extra []byte
	for _, a := range complete(known) {
		if a.value != "" && !known.has(a.key) {
			extra = appendAttribute(extra, a)
		}
	}
	out = protowire.AppendTag(out, fieldResources, protowire.BytesType)
	switch {
	case len(extra) == 0:
		return protowire.AppendBytes(out, one)
	case last.end == 0: // it has no resource at all
		size := protowire.SizeTag(fieldResource) + protowire.SizeBytes(len(extra))
		out = protowire.AppendVarint(out, uint64(size+len(one)))
		out = protowire.AppendTag(out, fieldResource, protowire.BytesType)
		out = protowire.AppendBytes(out, extra)
		return append(out, one...)
	}
	// Extend the resource where it is. A second resource field would do by
	// protobuf's rule of merging, but not every receiver follows it.
	old := one[last.value:last.end]
	grown := len(old) + len(extra)
	size := last.tag + protowire.SizeTag(fieldResource) + protowire.SizeBytes(grown) + len(one) - last.end
	out = protowire.AppendVarint(out, uint64(size))
	out = append(out, one[:last.tag]...)
	out = protowire.AppendTag(out, fieldResource, protowire.BytesType)
	out = protowire.AppendVarint(out, uint64(grown))
	out = append(out, old...)
	out = append(out, extra...)
	return append(out, one[last.end:]...)
}

// span is where a field lies: its tag, its value and its end.
type span struct{ tag, value, end int }

// readResource returns the attributes of a Resource* message and where its (last)
// resource is. The message was checked.
func readResource(one []byte) (resource, span) {
	known, last := make(resource), span{}
	for at := 0; at < len(one); {
		number, wire, n := protowire.ConsumeTag(one[at:])
		m := protowire.ConsumeFieldValue(number, wire, one[at+n:])
		if n < 0 || m < 0 {
			break
		}
		if number == fieldResource {
			value, _ := protowire.ConsumeBytes(one[at+n:])
			last = span{tag: at, value: at + n + m - len(value), end: at + n + m}
			known.read(value)
		}
		at += n + m
	}
	return known, last
}

// read adds the wanted attributes of a Resource.
func (r resource) read(body []byte) {
	each(body, fieldAttributes, func(pair []byte) {
		var key, value []byte
		each(pair, fieldKey, func(k []byte) { key = k })
		if !wanted[string(key)] {
			return
		}
		each(pair, fieldValue, func(any []byte) {
			each(any, fieldString, func(s []byte) { value = s })
		})
		r[string(key)] = string(value)
	})
}

// each calls yield with every length-delimited field of a number.
func each(body []byte, wanted protowire.Number, yield func([]byte)) {
	for len(body) > 0 {
		number, wire, n := protowire.ConsumeTag(body)
		if n < 0 {
			return
		}
		m := protowire.ConsumeFieldValue(number, wire, body[n:])
		if m < 0 {
			return
		}
		if number == wanted && wire == protowire.BytesType {
			value, _ := protowire.ConsumeBytes(body[n:])
			yield(value)
		}
		body = body[n+m:]
	}
}

// appendAttribute appends a KeyValue with a text value as a field of a Resource.
func appendAttribute(out []byte, a attribute) []byte {
	value := protowire.SizeTag(fieldString) + protowire.SizeBytes(len(a.value))
	pair := protowire.SizeTag(fieldKey) + protowire.SizeBytes(len(a.key)) +
		protowire.SizeTag(fieldValue) + protowire.SizeBytes(value)
	out = protowire.AppendTag(out, fieldAttributes, protowire.BytesType)
	out = protowire.AppendVarint(out, uint64(pair))
	out = protowire.AppendTag(out, fieldKey, protowire.BytesType)
	out = protowire.AppendString(out, a.key)
	out = protowire.AppendTag(out, fieldValue, protowire.BytesType)
	out = protowire.AppendVarint(out, uint64(value))
	out = protowire.AppendTag(out, fieldString, protowire.BytesType)
	return protowire.AppendString(out, a.value)
}
