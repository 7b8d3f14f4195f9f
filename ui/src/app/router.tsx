import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
  Outlet,
  retainSearchParams,
} from "@tanstack/react-router";
import { ErrorScreen, NotFound } from "./ErrorScreen";
import { Shell } from "./Shell";
import * as search from "./search";
import { TimeProvider } from "./time";

const root = createRootRoute({
  validateSearch: search.rangeSearch,
  search: { middlewares: [retainSearchParams(["from", "to", "refresh"])] },
  component: () => (
    <TimeProvider>
      <Shell>
        <Outlet />
      </Shell>
    </TimeProvider>
  ),
  notFoundComponent: NotFound,
});

const overview = createRoute({
  getParentRoute: () => root,
  path: "/",
  validateSearch: search.overviewSearch,
  component: lazyRouteComponent(() => import("../pages/overview/OverviewPage"), "OverviewPage"),
});

// Not /metrics: there the query service exposes its own series.
const metrics = createRoute({
  getParentRoute: () => root,
  path: "/explore/metrics",
  validateSearch: search.metricsSearch,
  component: lazyRouteComponent(() => import("../pages/metrics/MetricsPage"), "MetricsPage"),
});

const logs = createRoute({
  getParentRoute: () => root,
  path: "/explore/logs",
  validateSearch: search.logsSearch,
  staticData: { still: true },
  component: lazyRouteComponent(() => import("../pages/logs/LogsPage"), "LogsPage"),
});

const traces = createRoute({
  getParentRoute: () => root,
  path: "/traces",
  validateSearch: search.tracesSearch,
  staticData: { still: true },
  component: lazyRouteComponent(() => import("../pages/traces/TracesPage"), "TracesPage"),
});

const trace = createRoute({
  getParentRoute: () => root,
  path: "/traces/$traceId",
  validateSearch: search.traceSearch,
  staticData: { still: true },
  component: lazyRouteComponent(() => import("../pages/traces/TracePage"), "TracePage"),
});

const autoscaling = createRoute({
  getParentRoute: () => root,
  path: "/autoscaling",
  validateSearch: search.autoscalingSearch,
  component: lazyRouteComponent(() => import("../pages/autoscaling/AutoscalingPage"), "AutoscalingPage"),
});

const autoscaler = createRoute({
  getParentRoute: () => root,
  path: "/autoscaling/$namespace/$name",
  validateSearch: search.autoscalerSearch,
  component: lazyRouteComponent(() => import("../pages/autoscaling/AutoscalerPage"), "AutoscalerPage"),
});

const nodes = createRoute({
  getParentRoute: () => root,
  path: "/nodes",
  validateSearch: search.nodesSearch,
  component: lazyRouteComponent(() => import("../pages/nodes/NodesPage"), "NodesPage"),
});

export const router = createRouter({
  routeTree: root.addChildren([overview, metrics, logs, traces, trace, autoscaling, autoscaler, nodes]),
  parseSearch: search.parseSearch,
  stringifySearch: search.stringifySearch,
  defaultPreload: "intent",
  defaultErrorComponent: ErrorScreen,
  scrollRestoration: true,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
