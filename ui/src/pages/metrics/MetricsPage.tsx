import { useNavigate, useSearch } from "@tanstack/react-router";
import { Page } from "../../components/Page";
import { Panel } from "../../components/Panel";
import { MetricBrowser } from "./MetricBrowser";
import classes from "./MetricsPage.module.css";
import { QueryBuilder } from "./QueryBuilder";
import { QueryResult } from "./QueryResult";
import { useMetricQuery } from "./useMetricQuery";

/** Metrics, name first: a pick makes the query, and the query can then be taken over by hand. */
export function MetricsPage() {
  const search = useSearch({ from: "/explore/metrics" });
  const navigate = useNavigate({ from: "/explore/metrics" });
  const query = useMetricQuery(search);
  return (
    <Page title="Metrics" fill>
      <div className={classes.layout}>
        <Panel className={classes.browser} label="Metric browser">
          <MetricBrowser
            selected={search.metric}
            onSelect={(metric) =>
              // Filters are kept: the same pod's other metrics are what one looks at next. A query by hand gives way.
              void navigate({
                search: (previous) => ({
                  ...previous,
                  metric,
                  expr: undefined,
                  agg: undefined,
                  by: undefined,
                  quantile: undefined,
                }),
              })
            }
          />
        </Panel>
        <div className={classes.main}>
          <QueryBuilder search={search} query={query} />
          <QueryResult expr={query.expr} hasMetric={search.metric !== undefined} />
        </div>
      </div>
    </Page>
  );
}
