package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// manifests are the objects of files, as an API server would have them.
type manifests struct {
	pods  []*corev1.Pod
	nodes []*corev1.Node
	// others are objects of further kinds, typed where the kind is known and unstructured elsewhere.
	others []any

	seen map[string]string
}

// document is one object of a file before it is understood. Where says the file and the place in it.
type document struct {
	where string
	kind  schema.GroupVersionKind
	json  []byte
}

// readManifests reads a file of Kubernetes objects: one, a List of any kind, several YAML documents, JSON objects one after the other,
// or a JSON array of objects. Name is the file's for errors.
func (m *manifests) read(name string, in io.Reader) error {
	each := func(d document) error {
		if err := m.add(d); err != nil {
			return fmt.Errorf("%s: %w", d.where, err)
		}
		return nil
	}
	r := bufio.NewReaderSize(in, 1<<20)
	if mark, err := r.Peek(3); err == nil && string(mark) == "\xef\xbb\xbf" {
		_, _ = r.Discard(len(mark)) // a byte order mark
	}
	if startsJSON(r) {
		return readJSON(name, r, each)
	}
	return readYAML(name, r, each)
}

// startsJSON looks at the first character that is not blank.
func startsJSON(r *bufio.Reader) bool {
	for n := 64; ; n *= 2 {
		head, err := r.Peek(min(n, r.Size()))
		trimmed := bytes.TrimLeft(head, " \t\r\n")
		if len(trimmed) > 0 {
			return trimmed[0] == '{' || trimmed[0] == '['
		}
		if err != nil || n >= r.Size() {
			return false
		}
	}
}

func readJSON(name string, r io.Reader, each func(document) error) error {
	decoder := json.NewDecoder(r)
	for i := 1; ; i++ {
		where := name
		if i > 1 {
			where = fmt.Sprintf("%s: document %d", name, i)
		}
		var text json.RawMessage
		switch err := decoder.Decode(&text); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("%s: byte %d: %w", where, decoder.InputOffset(), err)
		}
		if err := flatten(where, text, each); err != nil {
			return err
		}
	}
}

func readYAML(name string, r *bufio.Reader, each func(document) error) error {
	documents := utilyaml.NewYAMLReader(r)
	for i := 1; ; i++ {
		text, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		where := fmt.Sprintf("%s: document %d", name, i)
		if err != nil {
			return fmt.Errorf("%s: %w", where, err)
		}
		converted, err := yaml.YAMLToJSON(text)
		if err != nil {
			return fmt.Errorf("%s: %w", where, err)
		}
		if string(converted) == "null" {
			continue // only comments
		}
		if err := flatten(where, converted, each); err != nil {
			return err
		}
	}
}

// flatten takes lists apart.
func flatten(where string, text []byte, each func(document) error) error {
	if text[0] == '[' {
		var list []json.RawMessage
		if err := json.Unmarshal(text, &list); err != nil {
			return fmt.Errorf("%s: %w", where, err)
		}
		for i, item := range list {
			if err := flatten(fmt.Sprintf("%s[%d]", where, i), item, each); err != nil {
				return err
			}
		}
		return nil
	}
	return flattenObject(where, schema.GroupVersionKind{}, text, each)
}

// flattenObject calls each for an object, or for those of a list. An item of a PodList may leave out that it is a Pod.
func flattenObject(where string, implied schema.GroupVersionKind, text []byte, each func(document) error) error {
	var object struct {
		metav1.TypeMeta
		Items []json.RawMessage `json:"items"`
	}
	if text[0] != '{' {
		return fmt.Errorf("%s: want an object", where)
	}
	if err := json.Unmarshal(text, &object); err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	kind := object.GroupVersionKind()
	if kind.Kind == "" {
		kind.Kind = implied.Kind
	}
	if object.APIVersion == "" {
		kind.Group, kind.Version = implied.Group, implied.Version
	}
	switch {
	case kind.Kind == "":
		return fmt.Errorf("%s: kind: missing", where)
	case kind.Version == "":
		return fmt.Errorf("%s: apiVersion: missing", where)
	case !strings.HasSuffix(kind.Kind, "List"):
		return each(document{where: where, kind: kind, json: text})
	}
	of := kind.GroupVersion().WithKind(strings.TrimSuffix(kind.Kind, "List"))
	if of.Kind == "" {
		of = schema.GroupVersionKind{}
	}
	for i, item := range object.Items {
		if err := flattenObject(fmt.Sprintf("%s: items[%d]", where, i), of, item, each); err != nil {
			return err
		}
	}
	return nil
}

func (m *manifests) add(d document) error {
	object, err := clientscheme.Scheme.New(d.kind)
	if err != nil {
		u := &unstructured.Unstructured{}
		if err := json.Unmarshal(d.json, &u.Object); err != nil {
			return err
		}
		u.SetGroupVersionKind(d.kind)
		m.others = append(m.others, u)
		return nil
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(d.json, object); err != nil {
		return fmt.Errorf("%s: %w", d.kind.Kind, namingQuantity(d.json, err))
	}
	named, ok := object.(metav1.Object)
	if !ok || named.GetName() == "" {
		return fmt.Errorf("%s: metadata.name: missing", d.kind.Kind)
	}
	switch o := object.(type) {
	case *corev1.Pod:
		complete(o)
		if err := checkPod(o); err != nil {
			return fmt.Errorf("pod %s/%s: %w", o.Namespace, o.Name, err)
		}
		m.pods = append(m.pods, o)
	case *corev1.Node:
		if err := checkNode(o); err != nil {
			return fmt.Errorf("node %s: %w", o.Name, err)
		}
		m.nodes = append(m.nodes, o)
	default:
		if named.GetNamespace() == "" && namespaced(d.kind.Kind) {
			named.SetNamespace(metav1.NamespaceDefault)
		}
		m.others = append(m.others, object)
	}
	return m.once(d, named)
}

// once refuses a second object of the same name: which of them counts would be a guess.
func (m *manifests) once(d document, named metav1.Object) error {
	if m.seen == nil {
		m.seen = map[string]string{}
	}
	id := d.kind.Kind + " " + named.GetName()
	if namespace := named.GetNamespace(); namespace != "" {
		id = d.kind.Kind + " " + namespace + "/" + named.GetName()
	}
	key := d.kind.Group + "/" + id
	if first, again := m.seen[key]; again {
		return fmt.Errorf("%s: metadata.name: the same as at %s", id, first)
	}
	m.seen[key] = d.where
	return nil
}

// namespaced says of kinds that planning knows whether they live in a namespace.
func namespaced(kind string) bool {
	return slices.Contains([]string{"PersistentVolumeClaim", "ResourceClaim", "ResourceClaimTemplate", "DaemonSet", "PodDisruptionBudget", "PodGroup"}, kind)
}

// files reads objects from files; "-" is standard input, which can be read once.
type files struct {
	stdin io.Reader
	used  string
}

func (f *files) open(flag, path string) (io.ReadCloser, string, error) {
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, "", fmt.Errorf("%s: %w", flag, err)
		}
		return file, path, nil
	}
	if f.used != "" {
		return nil, "", fmt.Errorf("%s: %s reads standard input already", flag, f.used)
	}
	f.used = flag
	return io.NopCloser(f.stdin), "stdin", nil
}
