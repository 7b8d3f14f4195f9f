// Package columnartest is the contract suite of package columnar: what any
// engine behind columnar.Engine must do, whatever it stores rows in. Run checks
// an engine that is created empty, RunWithReopen also that it keeps its rows when
// it is closed and opened again.
//
// It may import columnar and libraries; only tests import it.
package columnartest
