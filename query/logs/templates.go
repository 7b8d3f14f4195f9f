package logs

import (
	"fmt"
	"regexp"
	"strconv"
	tmpl "text/template/parse"

	"github.com/grafana/loki/v3/pkg/logql/syntax"
)

// maxAmplification is how many times bigger than its parts a template of
// line_format or label_format may make its output. How much that is, is looked at
// for each row (see boundedTemplate).
const maxAmplification = 1_000_000

// checkTemplates refuses templates that would fill the memory within one call of a
// function, where neither time nor bytes can be limited. What is counted is how
// often a template may repeat something; where that depends on data, it is refused.
func checkTemplates(expr syntax.Expr) (err error) {
	templates := 0
	check := func(text string) {
		if templates++; err == nil && templates > maxTemplates {
			err = &LimitError{Limit: "templates", Detail: fmt.Sprintf("it has more than %d of them", maxTemplates)}
		}
		if err == nil {
			err = checkTemplate(text)
		}
	}
	expr.Walk(func(e syntax.Expr) bool {
		switch s := e.(type) {
		case *syntax.LineFmtExpr:
			check(s.Value)
		case *syntax.LabelFmtExpr:
			for _, f := range s.Formats {
				if !f.Rename {
					check(f.Value)
				}
			}
		}
		return err == nil
	})
	return err
}

func checkTemplate(text string) error {
	c := analyzeTemplate(text)
	if factor := c.factor(); c.reason == "" && factor > maxAmplification {
		c.reason = fmt.Sprintf("it repeats text more than %d times", maxAmplification)
	}
	if c.reason != "" {
		return &LimitError{Limit: "templates", Detail: fmt.Sprintf("the template %q could fill the memory: %s", text, c.reason)}
	}
	return nil
}

// templateFactor is how often a template may repeat a text before it is written.
func templateFactor(text string) float64 {
	c := analyzeTemplate(text)
	return c.factor()
}

func analyzeTemplate(text string) templateChecker {
	trees := map[string]*tmpl.Tree{}
	t := tmpl.New("template")
	t.Mode = tmpl.SkipFuncCheck
	if _, err := t.Parse(text, "", "", trees); err != nil {
		return templateChecker{} // the stage reports it better
	}
	c := templateChecker{all: 1, one: 1}
	for _, tree := range trees {
		if tree.Root != nil {
			c.walk(tree.Root)
		}
	}
	return c
}

// templateChecker multiplies what calls may repeat: one may be about the result of
// another within the same action, or anywhere when it has been kept in a variable.
type templateChecker struct {
	all, one, worst float64 // of all calls, of the action's, and the worst action
	variables       bool
	ranges          int // around what is looked at
	reason          string
}

func (c *templateChecker) factor() float64 {
	if c.variables {
		return c.all
	}
	return c.worst
}

func (c *templateChecker) multiply(factor float64) {
	c.all *= max(1, factor)
	c.one *= max(1, factor)
}

// action looks at what stands between braces.
func (c *templateChecker) action(p *tmpl.PipeNode) {
	c.one = 1
	c.pipe(p)
	c.worst = max(c.worst, c.one)
}

func (c *templateChecker) walk(n tmpl.Node) {
	switch n := n.(type) {
	case *tmpl.ListNode:
		if n != nil {
			for _, sub := range n.Nodes {
				c.walk(sub)
			}
		}
	case *tmpl.ActionNode:
		c.action(n.Pipe)
	case *tmpl.IfNode:
		c.branch(&n.BranchNode)
	case *tmpl.WithNode:
		c.branch(&n.BranchNode)
	case *tmpl.RangeNode:
		if !overData(n.Pipe) {
			c.reason = "range is over something else than data"
		}
		if c.ranges > 0 {
			c.reason = "it has a range within a range"
		}
		c.ranges++
		c.branch(&n.BranchNode)
		c.ranges--
	case *tmpl.TemplateNode:
		c.reason = "it uses other templates"
	}
}

func (c *templateChecker) branch(n *tmpl.BranchNode) {
	c.action(n.Pipe)
	c.walk(n.List)
	c.walk(n.ElseList)
}

// overData reports whether a range is over fields or fromJson: over a number it
// would be as long as that.
func overData(p *tmpl.PipeNode) bool {
	last := p.Cmds[len(p.Cmds)-1]
	switch n := last.Args[0].(type) {
	case *tmpl.FieldNode:
		return len(last.Args) == 1
	case *tmpl.VariableNode:
		return len(n.Ident) > 1 // a field of one
	case *tmpl.IdentifierNode:
		return n.Ident == "fromJson"
	case *tmpl.ChainNode:
		return true
	}
	return false
}

func (c *templateChecker) pipe(p *tmpl.PipeNode) {
	if p == nil {
		return
	}
	c.variables = c.variables || len(p.Decl) > 0
	if p.IsAssign && c.ranges > 0 && !constant(p) {
		c.reason = "a range changes a variable, which may grow each time"
	}
	for _, cmd := range p.Cmds {
		c.command(cmd)
		for _, arg := range cmd.Args {
			switch a := arg.(type) {
			case *tmpl.PipeNode:
				c.pipe(a)
			case *tmpl.ChainNode:
				if inner, ok := a.Node.(*tmpl.PipeNode); ok {
					c.pipe(inner)
				}
			}
		}
	}
}

// constant reports whether a pipeline is a written value.
func constant(p *tmpl.PipeNode) bool {
	if len(p.Cmds) != 1 || len(p.Cmds[0].Args) != 1 {
		return false
	}
	switch p.Cmds[0].Args[0].(type) {
	case *tmpl.BoolNode, *tmpl.NumberNode, *tmpl.StringNode, *tmpl.NilNode:
		return true
	}
	return false
}

var wideVerb = regexp.MustCompile(`%[-+# 0]*(\d{4,}|\*|\d*\.(\d{4,}|\*)|\[)`)

// command looks at a call.
func (c *templateChecker) command(cmd *tmpl.CommandNode) {
	name, ok := cmd.Args[0].(*tmpl.IdentifierNode)
	if !ok {
		return
	}
	args := cmd.Args[1:]
	switch name.Ident {
	case "repeat", "alignLeft", "alignRight", "indent", "nindent":
		c.times(name.Ident, args, 0)
	case "printf":
		format, ok := literal(args, 0)
		if !ok || wideVerb.MatchString(format) {
			c.reason = "printf has a wide verb, or a format that is not written out"
		}
		c.multiply(float64(len(args)))
	case "print", "println":
		c.multiply(float64(len(args)))
	case "b64enc", "urlencode", "urlquery", "html", "js":
		c.multiply(6) // at most, for each byte
	case "replace": // old, new, text
		c.replacement(name.Ident, args, 1)
	case "Replace": // text, old, new, n
		c.replacement(name.Ident, args, 2)
	case "regexReplaceAll", "regexReplaceAllLiteral": // expression, text, replacement
		c.replacement(name.Ident, args, 2)
	}
}

// times multiplies by an argument that must be a written number.
func (c *templateChecker) times(name string, args []tmpl.Node, i int) {
	if i < len(args) {
		if n, ok := args[i].(*tmpl.NumberNode); ok && n.IsInt {
			c.multiply(float64(n.Int64))
			return
		}
	}
	c.reason = name + " has a number that is not written out"
}

// replacement multiplies by the length of an argument that must be a written
// text: what it replaces may be no longer than nothing.
func (c *templateChecker) replacement(name string, args []tmpl.Node, i int) {
	text, ok := literal(args, i)
	if !ok {
		c.reason = name + " has a replacement that is not written out"
		return
	}
	c.multiply(float64(len(text)))
}

func literal(args []tmpl.Node, i int) (string, bool) {
	if i >= len(args) {
		return "", false
	}
	s, ok := args[i].(*tmpl.StringNode)
	if !ok {
		return "", false
	}
	text, err := strconv.Unquote(s.Quoted)
	return text, err == nil
}
