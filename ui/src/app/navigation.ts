import {
  IconArrowsMaximize,
  IconChartLine,
  IconHierarchy2,
  IconLayoutDashboard,
  IconListSearch,
  IconServer2,
} from "@tabler/icons-react";

/** The pages, in the order of the navigation. `key` is the second key of the `g …` shortcut. */
export const PAGES = [
  { to: "/", label: "Overview", icon: IconLayoutDashboard, key: "o", words: "home node pods" },
  { to: "/explore/metrics", label: "Metrics", icon: IconChartLine, key: "m", words: "promql series explorer" },
  { to: "/explore/logs", label: "Logs", icon: IconListSearch, key: "l", words: "logql lines explorer" },
  { to: "/traces", label: "Traces", icon: IconHierarchy2, key: "t", words: "spans jaeger services" },
  { to: "/autoscaling", label: "Autoscaling", icon: IconArrowsMaximize, key: "a", words: "decisions replicas why" },
  { to: "/nodes", label: "Nodes", icon: IconServer2, key: "n", words: "fleet machines cost offers zones moves" },
] as const;
