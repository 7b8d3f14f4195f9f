// The time range that all pages share: read from the URL, kept moving while it ends "now".

import { useLocalStorage } from "@mantine/hooks";
import { useMatches, useNavigate, useSearch } from "@tanstack/react-router";
import { createContext, type ReactNode, useCallback, useContext, useEffect, useMemo, useState } from "react";
import {
  autoRefreshMs,
  isRelative,
  parseDuration,
  type RangeExpr,
  resolveRange,
  type TimeRange,
  type Zone,
} from "../lib/time";
import type { RangeSearch } from "./search";

declare module "@tanstack/react-router" {
  interface StaticDataRouteOption {
    /** Pages whose content people read line by line do not move under their eyes unless asked to. */
    still?: boolean;
    title?: string;
  }
}

export interface SharedTime {
  expr: RangeExpr;
  range: TimeRange;
  zone: Zone;
  setZone: (zone: Zone) => void;
  /** "off", a duration, or undefined for automatic. */
  refresh: string | undefined;
  /** The interval in force, 0 when nothing refreshes. */
  refreshMs: number;
  /** What automatic means on this page: 0 or an interval. */
  autoMs: number;
  setRange: (range: { from: string; to?: string }) => void;
  setRefresh: (refresh: string | undefined) => void;
  refreshNow: () => void;
}

const TimeContext = createContext<SharedTime | undefined>(undefined);

export function TimeProvider({ children }: { children: ReactNode }) {
  const { from, to, refresh } = useSearch({ strict: false }) as RangeSearch;
  const page = useMatches({ select: (matches) => matches.at(-1) });
  const still = page?.staticData.still === true;
  const navigate = useNavigate();
  const [zone, setZone] = useLocalStorage<Zone>({
    key: "yagura-zone",
    defaultValue: "local",
    getInitialValueInEffect: false,
  });
  const [now, setNow] = useState(() => Date.now());

  // Another range or another page starts from the present, not from the last refresh.
  const key = `${from}|${to}|${page?.pathname}`;
  const [seenKey, setSeenKey] = useState(key);
  if (seenKey !== key) {
    setSeenKey(key);
    setNow(Date.now());
  }

  const range = useMemo(() => resolveRange({ from, to }, now), [from, to, now]);
  const length = range.to - range.from;
  const autoMs = still || !isRelative(to) ? 0 : autoRefreshMs({ from: 0, to: length });
  const chosen = refresh === "off" ? 0 : refresh ? parseDuration(refresh) : undefined;
  const refreshMs = isRelative(to) ? (chosen ?? autoMs) : 0;

  useEffect(() => {
    if (refreshMs <= 0) return;
    const tick = () => {
      // A page nobody looks at asks nothing.
      if (!document.hidden) setNow(Date.now());
    };
    const timer = window.setInterval(tick, Math.max(500, refreshMs));
    document.addEventListener("visibilitychange", tick);
    return () => {
      window.clearInterval(timer);
      document.removeEventListener("visibilitychange", tick);
    };
  }, [refreshMs]);

  const setSearch = useCallback(
    (change: Partial<RangeSearch>, replace = false) => {
      navigate({
        to: ".",
        search: (previous: Record<string, unknown>) => ({ ...previous, ...change }),
        replace,
      } as never);
    },
    [navigate],
  );

  const value = useMemo<SharedTime>(
    () => ({
      expr: { from, to },
      range,
      zone,
      setZone,
      refresh,
      refreshMs,
      autoMs,
      setRange: (next) => setSearch({ from: next.from, to: next.to === "now" ? undefined : next.to }),
      setRefresh: (next) => setSearch({ refresh: next }, true),
      refreshNow: () => setNow(Date.now()),
    }),
    [from, to, range, zone, setZone, refresh, refreshMs, autoMs, setSearch],
  );
  return <TimeContext.Provider value={value}>{children}</TimeContext.Provider>;
}

export function useTime(): SharedTime {
  const value = useContext(TimeContext);
  if (!value) throw new Error("useTime needs a TimeProvider above it");
  return value;
}
