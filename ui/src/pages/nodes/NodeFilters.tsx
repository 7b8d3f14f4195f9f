import { Select, TextInput } from "@mantine/core";
import { IconSearch } from "@tabler/icons-react";
import { useMemo } from "react";
import type { NodesSearch } from "../../app/search";
import { choices, type FleetNode, NONE } from "../../lib/fleet";
import classes from "./NodesPage.module.css";

const FIELDS = [
  { name: "policy", label: "Policy", all: "every policy", none: "no policy", pick: (node: FleetNode) => node.policy },
  { name: "zone", label: "Zone", all: "every zone", none: "no zone", pick: (node: FleetNode) => node.zone },
  { name: "phase", label: "Phase", all: "every phase", none: "no phase", pick: (node: FleetNode) => node.phase },
  {
    name: "capacity",
    label: "Capacity type",
    all: "every capacity type",
    none: "no capacity type",
    pick: (node: FleetNode) => node.capacityType,
  },
] as const;

interface NodeFiltersProps {
  nodes: FleetNode[];
  search: NodesSearch;
  onChange: (next: Partial<NodesSearch>) => void;
}

/** Which nodes the map and the table show. */
export function NodeFilters({ nodes, search, onChange }: NodeFiltersProps) {
  const options = useMemo(
    () =>
      FIELDS.map((field) => {
        const values = choices(nodes, field.pick);
        const chosen = search[field.name];
        // What was chosen stays to be seen, also when the last such node has gone.
        if (chosen && !values.includes(chosen)) values.push(chosen);
        return values.map((value) => ({ value, label: value === NONE ? field.none : value }));
      }),
    [nodes, search],
  );
  return (
    <search className={classes.filters}>
      <TextInput
        size="xs"
        w={260}
        aria-label="Filter nodes"
        placeholder="Filter by name, offer or reason  /"
        leftSection={<IconSearch size={14} aria-hidden />}
        data-page-filter
        value={search.find ?? ""}
        onChange={(event) => onChange({ find: event.currentTarget.value || undefined })}
      />
      {FIELDS.map((field, index) => (
        <Select
          key={field.name}
          size="xs"
          w={160}
          aria-label={field.label}
          placeholder={field.all}
          clearable
          clearButtonProps={{ "aria-label": `Show ${field.all}` }}
          searchable={(options[index]?.length ?? 0) > 8}
          data={options[index]}
          value={search[field.name] ?? null}
          onChange={(next) => onChange({ [field.name]: next ?? undefined })}
        />
      ))}
    </search>
  );
}
