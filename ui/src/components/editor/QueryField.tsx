import { Button, Group, Loader } from "@mantine/core";
import { useEffect, useState } from "react";
import { QueryError } from "../QueryError";
import { CodeEditor, type CodeEditorProps } from "./CodeEditor";
import classes from "./QueryField.module.css";

interface QueryFieldProps extends Omit<CodeEditorProps, "onChange" | "onRun"> {
  /** Called with the text when it is run. */
  onSubmit: (value: string) => void;
  onDraft?: (value: string) => void;
  busy: boolean;
  error?: Error | null;
  warnings?: string[];
}

/** An editor with its run button, and the query's own errors right under it. */
export function QueryField({ value, onSubmit, onDraft, busy, error, warnings, ...editor }: QueryFieldProps) {
  const [draft, setDraft] = useState(value);
  useEffect(() => setDraft(value), [value]);
  const run = () => onSubmit(draft.trim());
  return (
    <div>
      <Group
        gap={0}
        wrap="nowrap"
        align="stretch"
        className={classes.field}
        data-page-filter
        data-invalid={error ? true : undefined}
      >
        <div className={classes.editor}>
          <CodeEditor
            {...editor}
            value={draft}
            onChange={(text) => {
              setDraft(text);
              onDraft?.(text);
            }}
            onRun={run}
          />
        </div>
        <Button className={classes.run} onClick={run} variant={draft.trim() !== value ? "filled" : "default"} w={78}>
          {busy ? <Loader size={14} color="currentColor" aria-label="Running" /> : "Run"}
        </Button>
      </Group>
      {error && (
        <div className={classes.below}>
          <QueryError error={error} />
        </div>
      )}
      {warnings?.map((warning) => (
        <div key={warning} className={classes.warning}>
          {warning}
        </div>
      ))}
    </div>
  );
}
