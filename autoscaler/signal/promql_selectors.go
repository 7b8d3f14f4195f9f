package signal

import (
	"slices"

	"github.com/prometheus/prometheus/promql/parser"
)

// promSelectors returns the selectors of a PromQL query, each once, bare of ranges, offsets and @, in the order in which they stand.
func promSelectors(p parser.Parser, query string) ([]string, error) {
	expr, err := p.ParseExpr(query)
	if err != nil {
		return nil, err
	}
	var selectors []string
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		vs, ok := node.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		bare := parser.VectorSelector{Name: vs.Name, LabelMatchers: vs.LabelMatchers}
		if text := bare.String(); !slices.Contains(selectors, text) {
			selectors = append(selectors, text)
		}
		return nil
	})
	return selectors, nil
}

// newParser returns a parser that leaves it to the service to refuse what it has not switched on.
func newParser() parser.Parser {
	return parser.NewParser(parser.Options{EnableExperimentalFunctions: true, EnableBinopFillModifiers: true})
}
