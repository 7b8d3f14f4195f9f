import { useMemo } from "react";
import { promqlLanguage } from "../../components/editor/promql";
import { QueryField } from "../../components/editor/QueryField";

interface PromqlFieldProps {
  value: string;
  busy: boolean;
  error: Error | null;
  warnings?: string[];
  onSubmit: (value: string) => void;
}

/** Loaded by itself: the editor weighs more than the rest of the page. */
export default function PromqlField(props: PromqlFieldProps) {
  const language = useMemo(promqlLanguage, []);
  return (
    <QueryField
      {...props}
      label="PromQL query"
      placeholder="PromQL, for instance sum by (pod) (rate(container_cpu_usage_seconds_total[1m]))"
      language={language}
    />
  );
}
