// Command importrules is a vet tool that keeps imports one-way: depguard with the
// rules of this project. Run through `go vet -vettool` it sees one package at a time
// and what the compiler already knows, where depguard's own program reads the source
// of all 1,300 dependencies. The rules are code, because vet caches by the tool.
//
// It imports only libraries; `make lint` builds and runs it.
package main

import (
	"fmt"
	"os"

	"github.com/OpenPeeDeeP/depguard/v2"
	"golang.org/x/tools/go/analysis/unitchecker"
)

func main() {
	analyzer, err := depguard.NewAnalyzer(&rules)
	if err != nil {
		fmt.Fprintln(os.Stderr, "importrules:", err)
		os.Exit(1)
	}
	unitchecker.Main(analyzer)
}
