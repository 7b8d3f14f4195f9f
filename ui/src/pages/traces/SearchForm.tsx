import { Autocomplete, Button, Loader, Select, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useEffect, useState } from "react";
import { operations } from "../../api/jaeger";
import type { TracesSearch } from "../../app/search";
import { useTime } from "../../app/time";
import { parseTags } from "../../lib/trace";
import { LIMITS } from "./TracesPage";
import classes from "./TracesPage.module.css";

interface SearchFormProps {
  search: TracesSearch;
  service: string | undefined;
  services: string[] | undefined;
  limit: string;
  tagsError?: string;
  busy: boolean;
  onChange: (next: Partial<TracesSearch>) => void;
}

// Jaeger takes Go's durations.
const DURATION = /^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+$/;

/** What to look for. Choices act at once, text acts on Enter or Search. */
export function SearchForm({ search, service, services, limit, tagsError, busy, onChange }: SearchFormProps) {
  const { refreshNow } = useTime();
  const [draft, setDraft] = useState({
    tags: search.tags ?? "",
    min: search.min ?? "",
    max: search.max ?? "",
    operation: search.operation ?? "",
  });
  useEffect(() => {
    setDraft({
      tags: search.tags ?? "",
      min: search.min ?? "",
      max: search.max ?? "",
      operation: search.operation ?? "",
    });
  }, [search.tags, search.min, search.max, search.operation]);
  const known = useQuery({
    queryKey: ["operations", service],
    enabled: service !== undefined,
    queryFn: ({ signal }) => operations(service as string, signal),
  });
  const bad = (text: string) => (text === "" || DURATION.test(text) ? undefined : "like 100ms or 1.5s");
  const draftTagsError = parseTags(draft.tags).error;

  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (bad(draft.min) || bad(draft.max) || draftTagsError) return;
    onChange({
      tags: draft.tags.trim() || undefined,
      min: draft.min || undefined,
      max: draft.max || undefined,
      operation: draft.operation || undefined,
    });
    refreshNow();
  };
  const set = (name: keyof typeof draft) => (value: string) => setDraft((before) => ({ ...before, [name]: value }));

  return (
    <form onSubmit={submit} className={classes.form}>
      <Select
        label="Service"
        data={services && service && !services.includes(service) ? [service, ...services] : (services ?? [])}
        value={service ?? null}
        searchable
        allowDeselect={false}
        nothingFoundMessage="No such service"
        onChange={(next) => onChange({ service: next ?? undefined, operation: undefined })}
      />
      <Autocomplete
        label="Operation"
        placeholder="any"
        data={known.data ?? []}
        value={draft.operation}
        onChange={set("operation")}
        onOptionSubmit={(next) => onChange({ operation: next })}
        limit={100}
        maxDropdownHeight={300}
      />
      <TextInput
        label="Tags"
        placeholder="http.response.status_code=500 error=true"
        value={draft.tags}
        error={draftTagsError ?? tagsError}
        onChange={(event) => set("tags")(event.currentTarget.value)}
        data-page-filter
      />
      <TextInput
        label="Longer than"
        placeholder="100ms"
        value={draft.min}
        error={bad(draft.min)}
        onChange={(event) => set("min")(event.currentTarget.value)}
      />
      <TextInput
        label="Shorter than"
        placeholder="2s"
        value={draft.max}
        error={bad(draft.max)}
        onChange={(event) => set("max")(event.currentTarget.value)}
      />
      <Select
        label="At most"
        data={LIMITS}
        value={limit}
        allowDeselect={false}
        onChange={(next) => onChange({ limit: next ?? undefined })}
      />
      <Button type="submit" className={classes.submit} w={90}>
        {busy ? <Loader size={14} color="currentColor" aria-label="Searching" /> : "Search"}
      </Button>
    </form>
  );
}
