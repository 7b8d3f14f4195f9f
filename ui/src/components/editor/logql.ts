import type { Completion, CompletionContext, CompletionResult } from "@codemirror/autocomplete";
import { LanguageSupport, LRLanguage } from "@codemirror/language";
import { type Diagnostic, linter } from "@codemirror/lint";
import type { Extension } from "@codemirror/state";
import { parser } from "@grafana/lezer-logql";
import { styleTags, tags } from "@lezer/highlight";
import { logqlContext } from "../../lib/logqlContext";

const language = LRLanguage.define({
  name: "logql",
  parser: parser.configure({
    props: [
      styleTags({
        LineComment: tags.comment,
        "Json Logfmt Pattern Regexp Unpack LabelFormat LineFormat Unwrap Decolorize Drop Keep": tags.keyword,
        "Bool On Ignoring GroupLeft GroupRight By Without And Or Unless Offset": tags.keyword,
        "Sum Avg Min Max Count Stddev Stdvar Topk Bottomk Sort Sort_Desc": tags.function(tags.variableName),
        "CountOverTime Rate RateCounter BytesOverTime BytesRate AvgOverTime SumOverTime MinOverTime MaxOverTime":
          tags.function(tags.variableName),
        "StddevOverTime StdvarOverTime QuantileOverTime FirstOverTime LastOverTime AbsentOverTime": tags.function(
          tags.variableName,
        ),
        Identifier: tags.labelName,
        String: tags.string,
        "Number Duration Bytes": tags.number,
      }),
    ],
  }),
});

export interface LogqlNames {
  labels: () => Promise<string[]>;
  values: (label: string) => Promise<string[]>;
}

const PIPELINE: Completion[] = [
  ["json", "reads a JSON line into labels"],
  ["logfmt", "reads key=value pairs into labels"],
  ["pattern", "reads a line by a pattern"],
  ["regexp", "reads a line by named groups"],
  ["line_format", "writes the line anew"],
  ["label_format", "writes or renames labels"],
  ["unwrap", "takes a label as the sample's value"],
  ["drop", "removes labels"],
  ["keep", "removes all other labels"],
  ["decolorize", "removes terminal colours"],
].map(([label = "", detail = ""]) => ({ label, detail, type: "keyword" }));

const FUNCTIONS: Completion[] = [
  "rate",
  "count_over_time",
  "bytes_rate",
  "bytes_over_time",
  "sum_over_time",
  "avg_over_time",
  "max_over_time",
  "min_over_time",
  "quantile_over_time",
  "absent_over_time",
  "sum",
  "avg",
  "min",
  "max",
  "count",
  "topk",
  "bottomk",
].map((label) => ({ label, type: "function", apply: `${label}(` }));

function completeWith(names: LogqlNames) {
  return async (context: CompletionContext): Promise<CompletionResult | null> => {
    const before = context.state.sliceDoc(0, context.pos);
    const place = logqlContext(before);
    const word = context.matchBefore(/[\w./-]*$/);
    const from = word?.from ?? context.pos;
    switch (place.kind) {
      case "label": {
        const labels = await names.labels();
        return {
          from,
          options: labels.map((label) => ({ label, apply: `${label}="`, type: "property" })),
          validFor: /^\w*$/,
        };
      }
      case "value": {
        const values = await names.values(place.label);
        // The closing quote is usually there already, put by the editor.
        const closed = context.state.sliceDoc(context.pos, context.pos + 1) === '"';
        return {
          from: context.pos - place.typed.length,
          options: values.map((value) => ({ label: value, apply: closed ? value : `${value}"`, type: "text" })),
          validFor: /^[^"]*$/,
        };
      }
      case "pipeline":
        return from === context.pos && !context.explicit && !/\|\s*$/.test(before)
          ? null
          : { from, options: PIPELINE, validFor: /^\w*$/ };
      case "function":
        if (!context.explicit && from === context.pos) return null;
        return {
          from,
          options: [...FUNCTIONS, { label: "{", detail: "select streams", apply: "{" }],
          validFor: /^\w*$/,
        };
      default:
        return null;
    }
  };
}

/**
 * Marks where the grammar stops understanding. The query service has the last word. Parsed anew and whole: the editor's
 * own tree is patched as one types, and may for a moment hold errors that the text does not.
 */
const syntaxErrors = linter(
  (view) => {
    const found: Diagnostic[] = [];
    if (view.state.doc.length === 0) return found;
    parser.parse(view.state.doc.toString()).iterate({
      enter: (node) => {
        if (!node.type.isError || found.length > 0) return;
        const end = Math.min(view.state.doc.length, Math.max(node.to, node.from + 1));
        found.push({
          from: Math.min(node.from, Math.max(0, end - 1)),
          to: end,
          severity: "error",
          message: "LogQL does not go on like this",
        });
      },
    });
    return found;
  },
  { delay: 600 },
);

export function logqlLanguage(names: LogqlNames): Extension {
  return [new LanguageSupport(language, [language.data.of({ autocomplete: completeWith(names) })]), syntaxErrors];
}
