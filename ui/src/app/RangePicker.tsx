import {
  Button,
  Divider,
  Group,
  Popover,
  SegmentedControl,
  Stack,
  Text,
  TextInput,
  UnstyledButton,
} from "@mantine/core";
import { IconClock } from "@tabler/icons-react";
import { type FormEvent, useState } from "react";
import { DEFAULT_FROM, DEFAULT_TO, describeRange, formatDateTime, PRESETS, parseTime } from "../lib/time";
import classes from "./RangePicker.module.css";
import { useTime } from "./time";

/** The shared time range: presets on the left, both ends as text on the right. */
export function RangePicker() {
  const [open, setOpen] = useState(false);
  const { expr, zone } = useTime();
  return (
    <Popover opened={open} onChange={setOpen} position="bottom-end" shadow="md" trapFocus returnFocus>
      <Popover.Target>
        <Button
          variant="default"
          leftSection={<IconClock size={16} aria-hidden />}
          onClick={() => setOpen((value) => !value)}
          aria-haspopup="dialog"
          aria-expanded={open}
          className={classes.target}
        >
          {describeRange(expr, zone)}
        </Button>
      </Popover.Target>
      <Popover.Dropdown aria-label="Time range" p="sm">
        {open && <RangeForm onDone={() => setOpen(false)} />}
      </Popover.Dropdown>
    </Popover>
  );
}

function RangeForm({ onDone }: { onDone: () => void }) {
  const { expr, zone, setZone, setRange } = useTime();
  const show = (text: string | undefined, fallback: string) => {
    if (text === undefined) return fallback;
    const ms = text.startsWith("now") ? undefined : parseTime(text, 0, zone);
    return ms === undefined ? text : formatDateTime(ms, zone);
  };
  const [from, setFrom] = useState(() => show(expr.from, DEFAULT_FROM));
  const [to, setTo] = useState(() => show(expr.to, DEFAULT_TO));
  const now = Date.now();
  const fromMs = parseTime(from, now, zone);
  const toMs = parseTime(to, now, zone);
  const fromError = fromMs === undefined ? "Not a time" : undefined;
  const toError =
    toMs === undefined ? "Not a time" : fromMs !== undefined && toMs <= fromMs ? "Must be after “from”" : undefined;

  const apply = (event: FormEvent) => {
    event.preventDefault();
    if (fromError || toError) return;
    // Absolute ends go into the URL as epoch milliseconds, which mean the same in every time zone.
    const keep = (text: string, ms: number | undefined) => (text.trim().startsWith("now") ? text.trim() : String(ms));
    setRange({ from: keep(from, fromMs), to: keep(to, toMs) });
    onDone();
  };

  return (
    <Group align="stretch" gap="md" wrap="nowrap">
      <Stack gap={2} w={150}>
        {PRESETS.map((preset) => (
          <UnstyledButton
            key={preset.from}
            className={classes.preset}
            data-selected={(expr.from ?? DEFAULT_FROM) === preset.from && (expr.to ?? "now") === "now"}
            onClick={() => {
              setRange({ from: preset.from });
              onDone();
            }}
          >
            {preset.label}
          </UnstyledButton>
        ))}
      </Stack>
      <Divider orientation="vertical" />
      <form onSubmit={apply}>
        <Stack gap="sm" w={230}>
          <TextInput
            label="From"
            value={from}
            error={fromError}
            onChange={(event) => setFrom(event.currentTarget.value)}
            data-autofocus
          />
          <TextInput label="To" value={to} error={toError} onChange={(event) => setTo(event.currentTarget.value)} />
          <Text size="xs" c="dimmed">
            <code>now-90m</code>, <code>2026-11-23 14:00</code> or epoch milliseconds
          </Text>
          <Button type="submit">Apply</Button>
          <Divider />
          <Text size="xs" fw={600} id="zone-label">
            Show times in
          </Text>
          <SegmentedControl
            aria-labelledby="zone-label"
            size="xs"
            value={zone}
            onChange={(value) => setZone(value as typeof zone)}
            data={[
              { label: "This browser's zone", value: "local" },
              { label: "UTC", value: "utc" },
            ]}
          />
        </Stack>
      </form>
    </Group>
  );
}
