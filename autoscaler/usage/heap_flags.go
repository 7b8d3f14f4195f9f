package usage

import (
	"math"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/sizing"
)

// Environment variables that bound heaps.
const (
	javaToolOptions = "JAVA_TOOL_OPTIONS"
	goMemLimit      = "GOMEMLIMIT"
	nodeOptions     = "NODE_OPTIONS"
)

// javaVariables are those that the usual images and launchers read options of a Java virtual machine from. JAVA_TOOL_OPTIONS comes
// first: the machine reads it before its command line, so that the others win.
var javaVariables = []string{javaToolOptions, "JDK_JAVA_OPTIONS", "JAVA_OPTS", "JAVA_OPTIONS", "CATALINA_OPTS", "JAVA_OPTS_APPEND"}

// defaultRAMPercentage is the share of the container's memory that a Java virtual machine takes for its heap when nothing is said
// (-XX:MaxRAMPercentage of OpenJDK).
const defaultRAMPercentage = 25

// heapOf recognizes the runtime of a container by its manifest.
func heapOf(c *corev1.Container) (sizing.Heap, bool) {
	env := map[string]string{}
	for i := range c.Env {
		if c.Env[i].ValueFrom == nil {
			env[c.Env[i].Name] = c.Env[i].Value
		}
	}
	words := append(append([]string(nil), c.Command...), c.Args...)
	if h, ok := javaHeap(env, words); ok {
		return h, true
	}
	if h, ok := goHeap(env); ok {
		return h, true
	}
	return nodeHeap(env, words)
}

// javaHeap reads the flags of a Java virtual machine. The last one wins, as it does in the machine.
func javaHeap(env map[string]string, words []string) (sizing.Heap, bool) {
	h := sizing.Heap{Runtime: v1alpha1.RuntimeJVM, FromContainer: true, Fraction: defaultRAMPercentage / 100.0,
		Variable: javaToolOptions, Value: env[javaToolOptions]}
	flagged := false
	read := func(source, text string) {
		for flag := range strings.FieldsSeq(text) {
			if javaFlag(&h, strings.Trim(flag, `"'`)) {
				h.Evidence, flagged = source+" has "+flag, true
			}
		}
	}
	for _, name := range javaVariables {
		if env[name] != "" && h.Evidence == "" {
			h.Evidence = "the variable " + name + " is set"
		}
		read("the variable "+name, env[name])
	}
	for _, word := range words {
		for text := range strings.FieldsSeq(word) {
			if text[strings.LastIndexByte(text, '/')+1:] == "java" && h.Evidence == "" {
				h.Evidence = "the command runs java"
			}
		}
		read("the command", word)
	}
	return h, flagged || h.Evidence != ""
}

// javaFlag takes a flag about the heap in and reports whether it was one. A size wins over a percentage, wherever they stand.
func javaFlag(h *sizing.Heap, flag string) bool {
	size := ""
	switch {
	case strings.HasPrefix(flag, "-Xmx"):
		size = strings.TrimPrefix(flag, "-Xmx")
	case strings.HasPrefix(flag, "-XX:MaxHeapSize="):
		size = strings.TrimPrefix(flag, "-XX:MaxHeapSize=")
	case strings.HasPrefix(flag, "-XX:MaxRAMPercentage="):
		percent, err := strconv.ParseFloat(strings.TrimPrefix(flag, "-XX:MaxRAMPercentage="), 64)
		if err != nil || !(percent > 0 && percent <= 100) {
			return false
		}
		if h.Max == 0 {
			h.FromContainer, h.Fraction = true, percent/100
		}
		return true
	default:
		return false
	}
	bytes, ok := binarySize(size, "kmgt")
	if !ok {
		return false
	}
	h.Max, h.FromContainer, h.Fraction = bytes, false, 0
	return true
}

// binarySize reads a whole number with a unit of one of the given letters, k being 1024, m its square and so on; upper case as well.
func binarySize(text, units string) (float64, bool) {
	factor := 1.0
	if n := len(text); n > 0 {
		if i := strings.IndexByte(units, text[n-1]|0x20); i >= 0 && text[n-1] > '9' {
			factor, text = math.Exp2(float64(10*(i+1))), text[:n-1]
		}
	}
	v, err := strconv.ParseUint(text, 10, 62)
	if err != nil || v == 0 || float64(v)*factor > math.MaxInt64 {
		return 0, false
	}
	return float64(v) * factor, true
}

// goHeap recognizes a Go program by the variables that its runtime reads. GOMEMLIMIT is what the whole runtime may hold, of which the heap is
// most.
func goHeap(env map[string]string) (sizing.Heap, bool) {
	limit, limited := env[goMemLimit]
	if _, gogc := env["GOGC"]; !limited && !gogc {
		return sizing.Heap{}, false
	}
	h := sizing.Heap{Runtime: v1alpha1.RuntimeGo, Variable: goMemLimit, Value: limit, Evidence: "the variable GOGC is set"}
	if limited {
		h.Evidence = "the variable " + goMemLimit + " is " + limit
		h.Max, _ = goSize(limit)
	}
	return h, true
}

// goSize reads a size as Go's runtime does: B, KiB, MiB, GiB or TiB, or bytes without a unit. Off is no bound.
func goSize(text string) (float64, bool) {
	if rest, ok := strings.CutSuffix(text, "iB"); ok {
		// A unit letter must be there, in upper case.
		if n := len(rest); n == 0 || !strings.Contains("KMGT", rest[n-1:]) {
			return 0, false
		}
		return binarySize(rest, "kmgt")
	}
	return binarySize(strings.TrimSuffix(text, "B"), "")
}

// nodeHeap recognizes Node.js by its flags.
func nodeHeap(env map[string]string, words []string) (sizing.Heap, bool) {
	h := sizing.Heap{Runtime: v1alpha1.RuntimeNode, Variable: nodeOptions, Value: env[nodeOptions]}
	read := func(source, text string) {
		size := ""
		for flag := range strings.FieldsSeq(text) {
			name, value, joined := strings.Cut(strings.Trim(flag, `"'`), "=")
			switch name = strings.ReplaceAll(name, "_", "-"); {
			case size == "next":
				size, value = "", name
			case name == "--max-old-space-size" && !joined:
				size = "next"
				continue
			case name != "--max-old-space-size":
				continue
			}
			// In MiB.
			if mib, err := strconv.ParseUint(value, 10, 40); err == nil && mib > 0 {
				h.Max, h.Evidence = float64(mib)*(1<<20), source+" has --max-old-space-size="+value
			}
		}
	}
	if options, ok := env[nodeOptions]; ok {
		h.Evidence = "the variable " + nodeOptions + " is set"
		read("the variable "+nodeOptions, options)
	}
	if h.Evidence == "" && env["NODE_ENV"] != "" {
		h.Evidence = "the variable NODE_ENV is set"
	}
	for i, word := range words {
		program := strings.Fields(word)
		if len(program) > 0 && h.Evidence == "" {
			if base := program[0][strings.LastIndexByte(program[0], '/')+1:]; i == 0 && (base == "node" || base == "nodejs") {
				h.Evidence = "the command runs " + base
			}
		}
	}
	// The flag and its value may be two arguments.
	read("the command", strings.Join(words, " "))
	return h, h.Evidence != ""
}
