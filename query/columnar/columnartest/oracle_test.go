package columnartest

import (
	"testing"

	"github.com/yagura-dev/yagura/query/columnar"
)

// The oracle passes its own suite, so that the suite asks nothing beyond the
// contract.
func TestOracle(t *testing.T) {
	Run(t, func(testing.TB) columnar.Engine { return NewOracle() })
}
