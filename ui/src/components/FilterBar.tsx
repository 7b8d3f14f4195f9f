import { ActionIcon, Autocomplete, Button, Group, Popover, Select, Stack } from "@mantine/core";
import { IconPlus, IconX } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import type { LabelFilter, MatchOp } from "../lib/promql";
import classes from "./FilterBar.module.css";

const OPS: MatchOp[] = ["=", "!=", "=~", "!~"];

/** Where label names and values come from; `id` tells apart what the two functions depend on. */
export interface FilterNames {
  id: string;
  labels: (signal: AbortSignal) => Promise<string[]>;
  values: (label: string, signal: AbortSignal) => Promise<string[]>;
}

interface FilterBarProps {
  filters: LabelFilter[];
  onChange: (filters: LabelFilter[]) => void;
  names: FilterNames;
}

/** Label filters as pills; each can be edited in place, and one more can be added. */
export function FilterBar({ filters, onChange, names }: FilterBarProps) {
  return (
    <Group gap={6}>
      {filters.map((filter, index) => (
        <FilterPill
          // biome-ignore lint/suspicious/noArrayIndexKey: filters have no identity but their place
          key={`${index} ${filter.label}`}
          filter={filter}
          names={names}
          onChange={(next) => onChange(filters.map((entry, at) => (at === index ? next : entry)))}
          onRemove={() => onChange(filters.filter((_, at) => at !== index))}
        />
      ))}
      <AddFilter names={names} onAdd={(filter) => onChange([...filters, filter])} />
    </Group>
  );
}

function FilterPill({
  filter,
  names,
  onChange,
  onRemove,
}: {
  filter: LabelFilter;
  names: FilterNames;
  onChange: (filter: LabelFilter) => void;
  onRemove: () => void;
}) {
  const [open, setOpen] = useState(false);
  return (
    <Popover opened={open} onChange={setOpen} position="bottom-start" shadow="md" trapFocus returnFocus>
      <span className={classes.pill}>
        <Popover.Target>
          <button type="button" className={classes.text} onClick={() => setOpen(true)} title="Edit this filter">
            <span className={classes.label}>{filter.label}</span>
            <span className={classes.op}>{filter.op}</span>
            <span>{filter.value || '""'}</span>
          </button>
        </Popover.Target>
        <ActionIcon size="xs" onClick={onRemove} aria-label={`Remove filter ${filter.label}`}>
          <IconX size={12} />
        </ActionIcon>
      </span>
      <Popover.Dropdown>
        {open && (
          <FilterForm
            initial={filter}
            names={names}
            onDone={(next) => {
              onChange(next);
              setOpen(false);
            }}
          />
        )}
      </Popover.Dropdown>
    </Popover>
  );
}

function AddFilter({ names, onAdd }: { names: FilterNames; onAdd: (filter: LabelFilter) => void }) {
  const [open, setOpen] = useState(false);
  return (
    <Popover opened={open} onChange={setOpen} position="bottom-start" shadow="md" trapFocus returnFocus>
      <Popover.Target>
        <Button
          size="compact-sm"
          variant="default"
          leftSection={<IconPlus size={13} aria-hidden />}
          onClick={() => setOpen(true)}
          aria-haspopup="dialog"
        >
          Label
        </Button>
      </Popover.Target>
      <Popover.Dropdown>
        {open && (
          <FilterForm
            names={names}
            onDone={(filter) => {
              onAdd(filter);
              setOpen(false);
            }}
          />
        )}
      </Popover.Dropdown>
    </Popover>
  );
}

function FilterForm({
  initial,
  names,
  onDone,
}: {
  initial?: LabelFilter;
  names: FilterNames;
  onDone: (filter: LabelFilter) => void;
}) {
  const [label, setLabel] = useState(initial?.label ?? "");
  const [op, setOp] = useState<MatchOp>(initial?.op ?? "=");
  const [value, setValue] = useState(initial?.value ?? "");
  const labels = useQuery({
    queryKey: ["filter labels", names.id],
    queryFn: ({ signal }) => names.labels(signal),
  }).data;
  const values = useQuery({
    queryKey: ["filter values", names.id, label],
    queryFn: ({ signal }) => names.values(label, signal),
    enabled: label !== "",
  }).data;
  const valid = /^[a-zA-Z_][\w.]*$/.test(label) && value !== "";
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        if (valid) onDone({ label, op, value });
      }}
    >
      <Stack gap="xs" w={320}>
        <Autocomplete
          label="Label"
          data={labels ?? []}
          value={label}
          onChange={(next) => {
            setLabel(next);
            if (next !== initial?.label) setValue("");
          }}
          limit={50}
          maxDropdownHeight={260}
          comboboxProps={{ withinPortal: false }}
          data-autofocus={initial === undefined || undefined}
        />
        <Group gap="xs" wrap="nowrap" align="end">
          <Select
            label="Match"
            w={86}
            data={OPS}
            value={op}
            onChange={(next) => setOp((next as MatchOp) ?? "=")}
            allowDeselect={false}
            comboboxProps={{ withinPortal: false }}
          />
          <Autocomplete
            label="Value"
            flex={1}
            data={values ?? []}
            value={value}
            onChange={setValue}
            onOptionSubmit={(next) => onDone({ label, op, value: next })}
            limit={100}
            maxDropdownHeight={260}
            comboboxProps={{ withinPortal: false }}
            data-autofocus={initial !== undefined || undefined}
          />
        </Group>
        <Button type="submit" disabled={!valid}>
          {initial ? "Change" : "Add"}
        </Button>
      </Stack>
    </form>
  );
}
