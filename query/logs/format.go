package logs

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"text/template"
	tmpl "text/template/parse"
	"time"
	"unsafe"

	"github.com/grafana/loki/v3/pkg/logql/log"
	"github.com/grafana/loki/v3/pkg/logql/syntax"
	"github.com/grafana/loki/v3/pkg/logqlmodel"
)

const (
	// maxFormatBytes bounds what the templates of line_format and label_format make of
	// one row: each line, all labels that one stage makes, and any text on the way.
	maxFormatBytes = 4 << 20
	// maxTemplates bounds the templates of a query, each of which may hold a text of
	// that size.
	maxTemplates = 50
	// templateError is LogQL's value of __error__ for rows whose template failed.
	templateError = "TemplateFormatErr"
)

// boundedFormats replaces the stages of a pipeline that run templates. LogQL's own
// write into memory as long as the template goes on; these stop at maxFormatBytes
// and when the query has ended, and mark the row as LogQL marks one whose template
// failed.
func boundedFormats(ctx context.Context, stages syntax.MultiStageExpr) error {
	for i, stage := range stages {
		switch s := stage.(type) {
		case *syntax.LineFmtExpr:
			t, err := newBoundedTemplate(ctx, s.Value)
			if err != nil {
				return logqlmodel.NewStageError(s.String(), err)
			}
			// LogQL moves line filters forward, but not past a filter of labels, and must
			// not past this stage.
			stages[i] = &syntax.LabelFilterExpr{LabelFilterer: &lineFormat{template: t, expr: s, field: t.field(), values: map[string]string{}}}
		case *syntax.LabelFmtExpr:
			stages[i] = boundedLabelFmt{LabelFmtExpr: s, ctx: ctx}
		}
	}
	return nil
}

// boundedTemplate is a template with LogQL's functions.
type boundedTemplate struct {
	ctx       context.Context
	formatter *log.LineFormatter // whose functions are the template's, but for those below
	factor    float64            // how often a text may come to be repeated within an action
	line      []byte
	ts        int64
	out       bytes.Buffer
	limit     int // of the bytes in out
}

func newBoundedTemplate(ctx context.Context, text string) (*boundedTemplate, error) {
	f, err := log.NewFormatter(text)
	if err != nil {
		return nil, err
	}
	t := &boundedTemplate{ctx: ctx, formatter: f, factor: templateFactor(text)}
	f.Funcs(template.FuncMap{
		"__line__":      func() (string, error) { return string(t.line), t.ctx.Err() },
		"__timestamp__": func() time.Time { return time.Unix(0, t.ts) },
		// A range has no other bound than the length of its data.
		"fromJson": func(text string) (any, error) {
			var v any
			_ = json.Unmarshal([]byte(text), &v) // what is not JSON is nothing
			return v, t.ctx.Err()
		},
	})
	return t, nil
}

// execute writes into out, at most limit bytes.
func (t *boundedTemplate) execute(ts int64, line []byte, values map[string]string, limit int) error {
	t.ts, t.line, t.limit = ts, line, limit
	t.out.Reset()
	if err := t.ctx.Err(); err != nil {
		return err
	}
	if t.factor > 1 {
		size := len(line)
		for _, v := range values {
			size += len(v)
		}
		if float64(size)*t.factor > maxFormatBytes {
			return fmt.Errorf("the template may repeat %d bytes %.0f times, and makes at most %d of a line", size, t.factor, maxFormatBytes)
		}
	}
	return t.formatter.Execute(t, values)
}

// Write implements io.Writer for the template. Its errors end the template.
func (t *boundedTemplate) Write(b []byte) (int, error) {
	if t.out.Len()+len(b) > t.limit {
		return 0, fmt.Errorf("the template makes more than %d bytes of a line", maxFormatBytes)
	}
	if err := t.ctx.Err(); err != nil {
		return 0, err
	}
	return t.out.Write(b)
}

// field is the name of the label that a template consists of, which nothing can
// make longer than it is, or empty.
func (t *boundedTemplate) field() string {
	nodes := t.formatter.Root.Nodes
	if len(nodes) != 1 {
		return ""
	}
	action, ok := nodes[0].(*tmpl.ActionNode)
	if !ok || len(action.Pipe.Decl) > 0 || len(action.Pipe.Cmds) != 1 || len(action.Pipe.Cmds[0].Args) != 1 {
		return ""
	}
	f, ok := action.Pipe.Cmds[0].Args[0].(*tmpl.FieldNode)
	if !ok || len(f.Ident) != 1 {
		return ""
	}
	return f.Ident[0]
}

func markTemplateError(lbs *log.LabelsBuilder, err error) {
	lbs.SetErr(templateError)
	lbs.SetErrorDetails(err.Error())
}

// lineFormat is line_format. It is a filter of labels, which keeps all rows, for
// the reason that boundedFormats gives.
type lineFormat struct {
	*log.NoopLabelFilter // what makes it one
	template             *boundedTemplate
	expr                 *syntax.LineFmtExpr
	field                string // of a template that is nothing else, or empty
	values               map[string]string
}

// Process implements log.Stage.
func (f *lineFormat) Process(ts int64, line []byte, lbs *log.LabelsBuilder) ([]byte, bool) {
	if f.field != "" {
		v, _ := lbs.Get(f.field)
		return unsafe.Slice(unsafe.StringData(v), len(v)), true // stages do not write into a line
	}
	clear(f.values)
	lbs.IntoMap(f.values)
	if err := f.template.execute(ts, line, f.values, maxFormatBytes); err != nil {
		markTemplateError(lbs, err)
		return line, true
	}
	return f.template.out.Bytes(), true
}

// RequiredLabelNames implements log.Stage.
func (f *lineFormat) RequiredLabelNames() []string { return f.template.formatter.RequiredLabelNames() }

// String implements log.LabelFilterer.
func (f *lineFormat) String() string { return f.expr.String() }

// boundedLabelFmt is the expression of label_format.
type boundedLabelFmt struct {
	*syntax.LabelFmtExpr
	ctx context.Context
}

// Stage replaces that of the expression.
func (e boundedLabelFmt) Stage() (log.Stage, error) {
	whole, err := log.NewLabelsFormatter(e.Formats) // which checks the names
	if err != nil {
		return nil, err
	}
	f := &labelFormat{formats: e.Formats, names: whole.RequiredLabelNames(), values: map[string]string{}}
	for _, format := range e.Formats {
		var t *boundedTemplate
		if !format.Rename {
			if t, err = newBoundedTemplate(e.ctx, format.Value); err != nil {
				return nil, err
			}
		}
		f.templates = append(f.templates, t)
	}
	return f, nil
}

// labelFormat is label_format.
type labelFormat struct {
	formats   []log.LabelFmt
	templates []*boundedTemplate // nil for those that rename
	names     []string
	values    map[string]string
}

// Process implements log.Stage. As with LogQL, all templates of the stage see the
// labels that the first of them saw.
func (f *labelFormat) Process(ts int64, line []byte, lbs *log.LabelsBuilder) ([]byte, bool) {
	clear(f.values)
	left := maxFormatBytes
	for i, format := range f.formats {
		if format.Rename {
			if v, _, ok := lbs.GetWithCategory(format.Value); ok {
				lbs.Set(log.ParsedLabel, format.Name, v)
				lbs.Del(format.Value)
			}
			continue
		}
		if len(f.values) == 0 {
			lbs.IntoMap(f.values)
		}
		t := f.templates[i]
		if err := t.execute(ts, line, f.values, left); err != nil {
			markTemplateError(lbs, err)
			continue
		}
		left -= t.out.Len()
		lbs.Set(log.ParsedLabel, format.Name, t.out.String())
	}
	return line, true
}

// RequiredLabelNames implements log.Stage.
func (f *labelFormat) RequiredLabelNames() []string { return f.names }
