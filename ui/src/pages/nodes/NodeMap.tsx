import { useComputedColorScheme } from "@mantine/core";
import { useElementSize } from "@mantine/hooks";
import { type MouseEvent, useEffect, useMemo, useRef, useState } from "react";
import type { Scheme } from "../../lib/colors";
import {
  type FleetNode,
  formatMoney,
  fullness,
  NONE,
  type Standing,
  standingOf,
  type ZoneGroup,
} from "../../lib/fleet";
import { formatInteger, formatValue } from "../../lib/units";
import classes from "./NodeMap.module.css";
import shared from "./NodesPage.module.css";

interface NodeMapProps {
  zones: ZoneGroup[];
  selected?: string;
  onOpen: (name: string) => void;
  onZone: (zone: string) => void;
}

/** Every node as a small glass, filled by what is requested of its CPU and memory; by zone. */
export function NodeMap({ zones, selected, onOpen, onZone }: NodeMapProps) {
  const scheme = useComputedColorScheme("dark", { getInitialValueInEffect: false }) as Scheme;
  const count = zones.reduce((sum, group) => sum + group.nodes.length, 0);
  const cell = cellSize(count);
  return (
    <>
      <div className={classes.map}>
        {zones.map((group) => (
          <section key={group.zone} className={classes.zone} aria-label={zoneName(group.zone)}>
            <div className={classes.head}>
              <h3 className={classes.title}>
                <button type="button" className={shared.link} onClick={() => onZone(group.zone || NONE)}>
                  {zoneName(group.zone)}
                </button>
              </h3>
              <span className={classes.facts}>
                {formatInteger(group.nodes.length)} {group.nodes.length === 1 ? "node" : "nodes"},{" "}
                {formatMoney(group.cost)} per hour
              </span>
            </div>
            <Zone group={group} cell={cell} scheme={scheme} selected={selected} onOpen={onOpen} />
          </section>
        ))}
      </div>
      <Key scheme={scheme} />
    </>
  );
}

function zoneName(zone: string): string {
  return zone || "No zone";
}

/** Cells get smaller as the fleet grows, so that a thousand nodes fit a screen. */
export function cellSize(count: number): number {
  if (count <= 80) return 26;
  if (count <= 400) return 18;
  return count <= 2000 ? 12 : 9;
}

const GAP = 2;

interface ZoneProps {
  group: ZoneGroup;
  cell: number;
  scheme: Scheme;
  selected?: string;
  onOpen: (name: string) => void;
}

// A canvas, because a thousand elements that change every few seconds are what makes pages slow.
function Zone({ group, cell, scheme, selected, onOpen }: ZoneProps) {
  const { ref, width } = useElementSize();
  const canvas = useRef<HTMLCanvasElement>(null);
  const [hovered, setHovered] = useState<number>();
  const columns = Math.max(1, Math.floor((width + GAP) / (cell + GAP)));
  const height = Math.ceil(group.nodes.length / columns) * (cell + GAP);
  useEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (!canvas.current || !context || width === 0) return;
    const ratio = window.devicePixelRatio;
    canvas.current.width = Math.round(width * ratio);
    canvas.current.height = Math.round(height * ratio);
    context.scale(ratio, ratio);
    group.nodes.forEach((entry, index) => {
      const x = (index % columns) * (cell + GAP);
      const y = Math.floor(index / columns) * (cell + GAP);
      drawNode(context, { x, y, size: cell }, entry, COLORS[scheme]);
      if (entry.name === selected || index === hovered) {
        context.strokeStyle = COLORS[scheme].ink;
        context.lineWidth = 2;
        context.setLineDash([]);
        context.strokeRect(x + 1, y + 1, cell - 2, cell - 2);
      }
    });
  }, [group, columns, width, height, cell, scheme, selected, hovered]);
  const at = (event: MouseEvent<HTMLCanvasElement>) => {
    const box = event.currentTarget.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left) / (cell + GAP));
    const index = Math.floor((event.clientY - box.top) / (cell + GAP)) * columns + column;
    return column < columns && index < group.nodes.length ? index : undefined;
  };
  const label = useMemo(() => describe(group), [group]);
  const shown = hovered === undefined ? undefined : group.nodes[hovered];
  const left = hovered === undefined ? 0 : (hovered % columns) * (cell + GAP);
  return (
    <div ref={ref} className={classes.frame}>
      <canvas
        ref={canvas}
        role="img"
        aria-label={label}
        className={classes.canvas}
        style={{ width, height }}
        onMouseMove={(event) => setHovered(at(event))}
        onMouseLeave={() => setHovered(undefined)}
        onClick={(event) => {
          const index = at(event);
          const entry = index === undefined ? undefined : group.nodes[index];
          if (entry) onOpen(entry.name);
        }}
      />
      {shown && hovered !== undefined && (
        <div
          className={classes.tip}
          style={{
            top: (Math.floor(hovered / columns) + 1) * (cell + GAP) + 4,
            ...(left > width / 2 ? { right: Math.max(0, width - left - cell) } : { left }),
          }}
          aria-hidden
        >
          <b>{shown.name}</b>
          <div>
            {[shown.offer, shown.capacityType, shown.phase].filter(Boolean).join(" · ")},{" "}
            {formatMoney(shown.pricePerHour)} per hour
          </div>
          <div>
            CPU {formatValue(fullness(shown, "cpu"), "ratio")}, memory {formatValue(fullness(shown, "memory"), "ratio")}
            , {shown.pods} pods
          </div>
          <div>
            {shown.stay.code}: {shown.stay.message}
          </div>
        </div>
      )}
    </div>
  );
}

/** The zone in words, for those who do not see the cells. */
export function describe(group: ZoneGroup): string {
  const counts = new Map<Standing, number>();
  for (const entry of group.nodes) counts.set(standingOf(entry), (counts.get(standingOf(entry)) ?? 0) + 1);
  const words: Record<Standing, string> = {
    ready: "ready",
    making: "being made",
    leaving: "leaving",
    unready: "not ready",
  };
  return `${zoneName(group.zone)}: ${[...counts].map(([standing, count]) => `${count} ${words[standing]}`).join(", ")}`;
}

interface Colors {
  ink: string;
  track: string;
  cpu: string;
  memory: string;
  making: string;
  leaving: string;
  unready: string;
}

const COLORS: Record<Scheme, Colors> = {
  dark: {
    ink: "#ffffff",
    track: "#27303c",
    cpu: "#86abf7",
    memory: "#45cfa4",
    making: "#86abf7",
    leaving: "#efb342",
    unready: "#ff8078",
  },
  light: {
    ink: "#1a212b",
    track: "#dfe4ec",
    cpu: "#5580ee",
    memory: "#1c9c78",
    making: "#2a56c6",
    leaving: "#8a5a00",
    unready: "#c02626",
  },
};

interface Cell {
  x: number;
  y: number;
  size: number;
}

/** Left CPU and right memory, filled from below. What is not simply ready has a frame, and a shape of its own. */
function drawNode(context: CanvasRenderingContext2D, { x, y, size }: Cell, entry: FleetNode, colors: Colors) {
  const standing = standingOf(entry);
  const half = size / 2;
  context.fillStyle = colors.track;
  context.fillRect(x, y, size, size);
  for (const [index, resource] of (["cpu", "memory"] as const).entries()) {
    const level = Math.min(1, fullness(entry, resource) ?? 0) * size;
    context.globalAlpha = standing === "making" ? 0.45 : 1;
    context.fillStyle = colors[resource];
    context.fillRect(x + index * half, y + size - level, half - (index === 0 ? 1 : 0), level);
  }
  context.globalAlpha = 1;
  if (standing === "ready") return;
  context.strokeStyle = colors[standing];
  context.lineWidth = size > 14 ? 2 : 1.5;
  context.setLineDash(standing === "making" ? [3, 2] : []);
  context.strokeRect(x + 0.75, y + 0.75, size - 1.5, size - 1.5);
  context.setLineDash([]);
  context.beginPath();
  if (standing !== "making") {
    context.moveTo(x + 1, y + size - 1);
    context.lineTo(x + size - 1, y + 1);
  }
  if (standing === "unready") {
    context.moveTo(x + 1, y + 1);
    context.lineTo(x + size - 1, y + size - 1);
  }
  context.stroke();
}

const EXAMPLE = 16;
const SAMPLES: { name: string; phase: string; ready: boolean }[] = [
  { name: "ready: left CPU, right memory requested", phase: "Ready", ready: true },
  { name: "being made", phase: "Launched", ready: false },
  { name: "leaving", phase: "Draining", ready: true },
  { name: "not ready", phase: "NotReady", ready: false },
];

function Key({ scheme }: { scheme: Scheme }) {
  return (
    <div className={classes.key} aria-hidden>
      {SAMPLES.map((sample) => (
        <span key={sample.name}>
          <Sample {...sample} scheme={scheme} /> {sample.name}
        </span>
      ))}
    </div>
  );
}

function Sample({ phase, ready, scheme }: { phase: string; ready: boolean; scheme: Scheme }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (!canvas.current || !context) return;
    const ratio = window.devicePixelRatio;
    canvas.current.width = EXAMPLE * ratio;
    canvas.current.height = EXAMPLE * ratio;
    context.scale(ratio, ratio);
    const entry = { phase, ready, requested: { cpu: 7, memory: 4 }, allocatable: { cpu: 10, memory: 10 } } as FleetNode;
    drawNode(context, { x: 0, y: 0, size: EXAMPLE }, entry, COLORS[scheme]);
  }, [phase, ready, scheme]);
  return <canvas ref={canvas} style={{ width: EXAMPLE, height: EXAMPLE }} />;
}
