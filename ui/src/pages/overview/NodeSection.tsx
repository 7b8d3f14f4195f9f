import { Select, SimpleGrid, Skeleton, Text, useComputedColorScheme } from "@mantine/core";
import { IconServerOff } from "@tabler/icons-react";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useMemo } from "react";
import { useLabelValues, usePromInstantParts, usePromRangeParts, useScrapeInterval } from "../../api/hooks";
import { useTime } from "../../app/time";
import type { ChartSeries } from "../../components/chart/options";
import { TimeChart } from "../../components/chart/TimeChart";
import { EmptyState } from "../../components/EmptyState";
import { Panel } from "../../components/Panel";
import { QueryError } from "../../components/QueryError";
import { TextLink } from "../../components/TextLink";
import { type Scheme, seriesColor } from "../../lib/colors";
import { summarize } from "../../lib/series";
import { stepSeconds } from "../../lib/time";
import { formatValue } from "../../lib/units";
import { lineId, lineQueries, type NodeScope, type NodeTile, nodeSelector, nodeTiles } from "./nodeQueries";
import classes from "./Overview.module.css";

const CPU = "node_cpu_seconds_total";
const CHART_HEIGHT = 112;

/** How this node (or the chosen one) is doing. */
export function NodeSection() {
  const search = useSearch({ from: "/" });
  const navigate = useNavigate({ from: "/" });
  const nodes = useLabelValues("node", CPU);
  const instances = useLabelValues("instance", CPU, nodes.data?.length === 0);
  const label =
    nodes.data && nodes.data.length > 0 ? "node" : instances.data && instances.data.length > 0 ? "instance" : undefined;
  const names = (label === "node" ? nodes.data : instances.data) ?? [];
  const value = search.node && names.includes(search.node) ? search.node : names[0];
  const scope: NodeScope = useMemo(() => ({ label, value }), [label, value]);
  const facts = useNodeFacts(scope);

  return (
    <section aria-labelledby="node-heading">
      <div className={classes.sectionHead}>
        <h2 id="node-heading" className={classes.sectionTitle}>
          {value ? (
            <>
              Node <span className={classes.nodeName}>{value}</span>
            </>
          ) : (
            "This node"
          )}
        </h2>
        <Text size="sm" c="dimmed" className="num">
          {facts}
        </Text>
        {names.length > 1 && (
          <Select
            aria-label="Node"
            size="xs"
            ml="auto"
            w={240}
            searchable
            data={names}
            value={value ?? null}
            onChange={(next) =>
              void navigate({ search: (previous) => ({ ...previous, node: next ?? undefined }), replace: true })
            }
          />
        )}
      </div>
      <Tiles scope={scope} />
    </section>
  );
}

function useNodeFacts(scope: NodeScope): string {
  const own = nodeSelector(scope);
  const { parts } = usePromInstantParts({
    cores: `count(count by (cpu) (${CPU}${own}))`,
    memory: `sum(node_memory_MemTotal_bytes${own})`,
    boot: `max(node_boot_time_seconds${own})`,
  });
  const { range } = useTime();
  const cores = parts.cores?.[0]?.value;
  const bytes = parts.memory?.[0]?.value;
  const booted = parts.boot?.[0]?.value;
  return [
    cores ? `${cores} ${cores === 1 ? "core" : "cores"}` : "",
    bytes ? formatValue(bytes, "bytes") : "",
    booted ? `up ${formatValue(Math.round(range.to / 1000 - booted), "seconds")}` : "",
  ]
    .filter(Boolean)
    .join(" · ");
}

function Tiles({ scope }: { scope: NodeScope }) {
  const { range } = useTime();
  const own = nodeSelector(scope);
  const fast = useScrapeInterval(`${CPU}${own}`);
  const slow = useScrapeInterval(`node_disk_read_bytes_total${own}`);
  // Until both are known, windows would be guesses, and every tile would be asked for twice.
  const known = fast !== undefined && slow !== undefined;
  const step = stepSeconds(range, POINTS);
  const tiles = useMemo(() => nodeTiles(scope, fast ?? 1, slow ?? 15, step), [scope, fast, slow, step]);
  const answer = usePromRangeParts(() => lineQueries(tiles), { points: POINTS, enabled: known });
  if (answer.error && !answer.data) return <QueryError error={answer.error} what="The node's series" />;
  const empty = answer.data !== undefined && answer.parts.size === 0;
  if (empty) {
    return (
      <Panel>
        <EmptyState icon={IconServerOff} title="No node series in this range" height={140}>
          The collector on this host sends <code>node_*</code> series every second. Start <code>yagura up</code>, or
          point <code>yagura-collector</code> at this server. If it was running earlier, choose an earlier range.
        </EmptyState>
      </Panel>
    );
  }
  return (
    <SimpleGrid cols={{ base: 1, xs: 2, lg: 3 }} spacing="sm" verticalSpacing="sm">
      {tiles.map((tile) => (
        <Tile
          key={tile.id}
          tile={tile}
          times={answer.data?.frame.times ?? NONE}
          columns={answer.parts}
          pending={answer.data === undefined}
        />
      ))}
    </SimpleGrid>
  );
}

const POINTS = 900;
const NONE: number[] = [];

interface TileProps {
  tile: NodeTile;
  times: number[];
  columns: Map<string, (number | null)[]>;
  pending: boolean;
}

function Tile({ tile, times, columns, pending }: TileProps) {
  const scheme = useComputedColorScheme("dark", { getInitialValueInEffect: false }) as Scheme;
  const { setRange } = useTime();
  const series = useMemo(
    (): ChartSeries[] =>
      tile.lines.map((line, index) => ({
        name: line.name,
        color: line.dashed ? (scheme === "dark" ? "#8691a3" : "#7b8794") : seriesColor(index, scheme),
        dashed: line.dashed,
        fill: !line.dashed,
        values: columns.get(lineId(tile, index)) ?? NONE,
      })),
    [tile, columns, scheme],
  );
  const lasts = series.map((entry) => summarize(entry.values).last);
  const present = lasts.some((value) => value !== null);
  return (
    <Panel
      title={tile.title}
      className={classes.tile}
      aside={
        <TextLink
          to="/explore/metrics"
          search={{ expr: tile.lines[0]?.query }}
          size="xs"
          className={classes.explore}
          aria-label={`Explore ${tile.title}`}
        >
          Explore
        </TextLink>
      }
    >
      <div className={classes.headline}>
        {pending && !present ? <Skeleton h={22} w={90} /> : <Headline tile={tile} lasts={lasts} series={series} />}
      </div>
      {pending && !present ? (
        <Skeleton h={CHART_HEIGHT} />
      ) : present ? (
        <TimeChart
          times={times}
          series={series}
          unit={tile.unit}
          height={CHART_HEIGHT}
          yMax={tile.max}
          syncKey="node"
          label={`${tile.title} over time`}
          onZoom={(from, to) => setRange({ from: String(Math.round(from)), to: String(Math.round(to)) })}
        />
      ) : (
        <div className={classes.noTile} style={{ height: CHART_HEIGHT }}>
          This host sends no such series.
        </div>
      )}
    </Panel>
  );
}

function Headline({ tile, lasts, series }: { tile: NodeTile; lasts: (number | null)[]; series: ChartSeries[] }) {
  if (tile.headline === "last") {
    const [first, second] = lasts;
    return (
      <>
        <span className={classes.big}>{formatValue(first, tile.unit)}</span>
        {tile.id === "memory" && second ? (
          <span className={classes.aside}>
            of {formatValue(second, tile.unit)} · {formatValue((first ?? 0) / second, "ratio")}
          </span>
        ) : (
          second !== undefined && (
            <span className={classes.aside}>
              {series[1]?.name} {formatValue(second, tile.unit)}
            </span>
          )
        )}
      </>
    );
  }
  return (
    <>
      {series.map((entry, index) => (
        <span key={entry.name} className={classes.pair}>
          <span className={classes.dot} style={{ background: entry.color }} />
          <span className={classes.big}>{formatValue(lasts[index], tile.unit)}</span>
          <span className={classes.aside}>{entry.name}</span>
        </span>
      ))}
    </>
  );
}
