import type { Extension } from "@codemirror/state";
import { PromQLExtension } from "@prometheus-io/codemirror-promql";

/** PromQL with completion of metrics, labels and values from the query service, and syntax checks as one types. */
export function promqlLanguage(): Extension {
  return new PromQLExtension()
    .setComplete({
      remote: {
        url: "/prometheus",
        httpMethod: "GET",
        lookbackInterval: 60 * 60 * 1000,
        // Completion that fails is completion without names; the query itself will say what is wrong.
        httpErrorHandler: () => {},
      },
      maxMetricsMetadata: 5000,
    })
    .asExtension();
}
