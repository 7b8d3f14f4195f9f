import { useMantineColorScheme } from "@mantine/core";
import { Spotlight, type SpotlightActionGroupData } from "@mantine/spotlight";
import {
  IconArrowsMaximize,
  IconChartLine,
  IconHierarchy2,
  IconListSearch,
  IconMoon,
  IconSearch,
  IconSun,
  IconWorld,
} from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { useAutoscalers } from "../api/autoscaling";
import { services } from "../api/jaeger";
import { logLabelValues } from "../api/loki";
import { labelValues } from "../api/prometheus";
import { headline } from "../lib/autoscaling";
import { streamSelector } from "../lib/logql";
import { PAGES } from "./navigation";
import { useTime } from "./time";

const SHOWN_PER_GROUP = 8;

/** Everything that has a name, one key away. Names are asked for when the palette opens, not before. */
export function Palette() {
  const [open, setOpen] = useState(false);
  const [query, setQuery] = useState("");
  const groups = useActions(open, query);
  return (
    <Spotlight
      actions={groups}
      query={query}
      onQueryChange={setQuery}
      onSpotlightOpen={() => setOpen(true)}
      onSpotlightClose={() => {
        setOpen(false);
        setQuery("");
      }}
      // Filtered while the groups are made: the limit has to count matches and not all there is.
      filter={(_, actions) => actions}
      shortcut={["mod + K"]}
      nothingFound="Nothing of that name"
      highlightQuery
      scrollable
      maxHeight={440}
      searchProps={{
        leftSection: <IconSearch size={18} aria-hidden />,
        placeholder: "Find pages, services, metrics, autoscalers…",
        "aria-label": "Find",
      }}
    />
  );
}

function useActions(open: boolean, query: string): SpotlightActionGroupData[] {
  const navigate = useNavigate();
  const { setColorScheme } = useMantineColorScheme();
  const { zone, setZone, range } = useTime();
  const common = { enabled: open, staleTime: 30_000, retry: false } as const;
  const traced = useQuery({ ...common, queryKey: ["palette", "services"], queryFn: ({ signal }) => services(signal) });
  const logged = useQuery({
    ...common,
    queryKey: ["palette", "log services"],
    queryFn: ({ signal }) => logLabelValues("service_name", undefined, { start: range.from, end: range.to }, signal),
  });
  const metrics = useQuery({
    ...common,
    queryKey: ["palette", "metrics"],
    queryFn: ({ signal }) => labelValues("__name__", undefined, range, signal),
  });
  const autoscalers = useAutoscalers(open);

  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const matches = (text: string) => words.every((word) => text.toLowerCase().includes(word));
  const pick = (names: string[] | undefined) => (names ?? []).filter(matches).slice(0, SHOWN_PER_GROUP);

  const groups: SpotlightActionGroupData[] = [
    {
      group: "Pages",
      actions: PAGES.filter((page) => matches(`${page.label} ${page.words}`)).map((page) => ({
        id: `page ${page.to}`,
        label: page.label,
        leftSection: <page.icon size={18} stroke={1.7} />,
        onClick: () => void navigate({ to: page.to }),
      })),
    },
    {
      group: "Autoscalers",
      actions: autoscalers.list
        .filter((entry) => matches(`${entry.key} autoscaler`))
        .slice(0, SHOWN_PER_GROUP)
        .map((entry) => ({
          id: `autoscaler ${entry.key}`,
          label: entry.key,
          description: headline(entry)?.reason,
          leftSection: <IconArrowsMaximize size={18} stroke={1.7} />,
          onClick: () =>
            void navigate({
              to: "/autoscaling/$namespace/$name",
              params: { namespace: entry.namespace, name: entry.name },
            }),
        })),
    },
    {
      group: "Traces of a service",
      actions: pick(traced.data).map((service) => ({
        id: `traces ${service}`,
        label: service,
        leftSection: <IconHierarchy2 size={18} stroke={1.7} />,
        onClick: () => void navigate({ to: "/traces", search: { service } }),
      })),
    },
    {
      group: "Logs of a service",
      actions: pick(logged.data).map((service) => ({
        id: `logs ${service}`,
        label: service,
        leftSection: <IconListSearch size={18} stroke={1.7} />,
        onClick: () =>
          void navigate({
            to: "/explore/logs",
            search: { expr: streamSelector([{ label: "service_name", op: "=", value: service }]) },
          }),
      })),
    },
    {
      group: "Metrics",
      actions: (words.length > 0 ? pick(metrics.data) : []).map((metric) => ({
        id: `metric ${metric}`,
        label: metric,
        leftSection: <IconChartLine size={18} stroke={1.7} />,
        onClick: () => void navigate({ to: "/explore/metrics", search: { metric } }),
      })),
    },
    {
      group: "Display",
      actions: [
        {
          id: "dark",
          label: "Dark colours",
          leftSection: <IconMoon size={18} />,
          onClick: () => setColorScheme("dark"),
        },
        {
          id: "light",
          label: "Light colours",
          leftSection: <IconSun size={18} />,
          onClick: () => setColorScheme("light"),
        },
        {
          id: "system",
          label: "Colours of the system",
          leftSection: <IconSun size={18} />,
          onClick: () => setColorScheme("auto"),
        },
        {
          id: "zone",
          label: zone === "utc" ? "Show times in this browser's zone" : "Show times in UTC",
          leftSection: <IconWorld size={18} />,
          onClick: () => setZone(zone === "utc" ? "local" : "utc"),
        },
      ].filter((action) => matches(action.label)),
    },
  ];
  return groups.filter((group) => group.actions.length > 0);
}
