import { useMemo } from "react";
import { logLabels, logLabelValues } from "../../api/loki";
import { logqlLanguage } from "../../components/editor/logql";
import { QueryField } from "../../components/editor/QueryField";

interface LogqlFieldProps {
  value: string;
  busy: boolean;
  error: Error | null;
  onSubmit: (value: string) => void;
}

const LOOKBACK_MS = 6 * 3_600_000;

/** Loaded by itself: the editor weighs more than the rest of the page. */
export default function LogqlField(props: LogqlFieldProps) {
  const language = useMemo(() => {
    const range = () => ({ start: Date.now() - LOOKBACK_MS, end: Date.now() });
    // Completion that fails is completion without names; the query itself will say what is wrong.
    return logqlLanguage({
      labels: () => logLabels(range()).catch(() => []),
      values: (label) => logLabelValues(label, undefined, range()).catch(() => []),
    });
  }, []);
  return (
    <QueryField
      {...props}
      label="LogQL query"
      placeholder={'LogQL, for instance {namespace="shop"} |= "error"'}
      language={language}
    />
  );
}
