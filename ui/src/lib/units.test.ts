import { describe, expect, it } from "vitest";
import { formatValue, rateUnit, type Unit, unitOf } from "./units";

describe("formatValue", () => {
  it.each<[number | null, Unit, string]>([
    [null, "number", "–"],
    [Number.NaN, "number", "NaN"],
    [Number.POSITIVE_INFINITY, "bytes", "+∞"],
    [0, "bytes", "0 B"],
    [1536, "bytes", "1.5 KiB"],
    [16 * 2 ** 30, "bytes", "16 GiB"],
    [2048, "bytesPerSecond", "2 KiB/s"],
    [0.0000031, "seconds", "3.1 µs"],
    [0.0153, "seconds", "15.3 ms"],
    [12.5, "seconds", "12.5 s"],
    [125, "seconds", "2 min 5 s"],
    [90_000, "seconds", "1 d 1 h"],
    [0.0853, "cores", "85.3m"],
    [1.5, "cores", "1.5"],
    [0.516, "ratio", "51.6 %"],
    [104.2, "percent", "104 %"],
    [12_345, "number", "12.3 k"],
    [1234, "number", "1234"],
    [0.5, "perSecond", "0.5/s"],
    [-3, "number", "-3"],
    [1_700_000_000, "timestamp", "2023-11-14T22:13:20Z"],
  ])("writes %s as %s", (value, unit, want) => expect(formatValue(value, unit)).toBe(want));
});

describe("units of names", () => {
  it.each<[string, Unit]>([
    ["node_memory_MemAvailable_bytes", "bytes"],
    ["container_cpu_usage_seconds_total", "seconds"],
    ["http_request_duration_seconds_bucket", "seconds"],
    ["http_request_duration_seconds_count", "number"],
    ["node_boot_time_seconds", "timestamp"],
    ["yagura_log_source_heartbeat_timestamp_seconds", "timestamp"],
    ["node_pressure_ratio", "ratio"],
    ["up", "number"],
  ])("%s is in %s", (name, want) => expect(unitOf(name)).toBe(want));
  it.each<[string, Unit]>([
    ["node_network_receive_bytes_total", "bytesPerSecond"],
    ["node_cpu_seconds_total", "cores"],
    ["node_pressure_io_waiting_seconds_total", "ratio"],
    ["http_requests_total", "perSecond"],
  ])("the rate of %s is in %s", (name, want) => expect(rateUnit(name)).toBe(want));
});
