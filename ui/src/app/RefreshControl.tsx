import { ActionIcon, Button, Group, Menu, Tooltip } from "@mantine/core";
import { IconChevronDown, IconRefresh } from "@tabler/icons-react";
import { useIsFetching } from "@tanstack/react-query";
import { isRelative } from "../lib/time";
import { formatSeconds } from "../lib/units";
import classes from "./RefreshControl.module.css";
import { useTime } from "./time";

const CHOICES = ["1s", "5s", "15s", "1m"];

/** Refresh now, and how often by itself. */
export function RefreshControl() {
  const { refresh, refreshMs, autoMs, setRefresh, refreshNow, expr } = useTime();
  const busy = useIsFetching() > 0;
  const moving = isRelative(expr.to);
  const auto = autoMs === 0 ? "Auto (off here)" : `Auto (${formatSeconds(autoMs / 1000)})`;
  const label = !moving ? "Fixed" : refreshMs === 0 ? "Off" : formatSeconds(refreshMs / 1000);
  return (
    <Group gap={0} wrap="nowrap">
      <Tooltip label="Refresh now (r)">
        <ActionIcon
          variant="default"
          size={36}
          radius="sm"
          className={classes.now}
          onClick={refreshNow}
          aria-label="Refresh now"
        >
          <IconRefresh size={16} className={busy && refreshMs === 0 ? classes.busy : undefined} />
        </ActionIcon>
      </Tooltip>
      <Menu position="bottom-end" shadow="md">
        <Menu.Target>
          <Button
            variant="default"
            className={classes.every}
            rightSection={<IconChevronDown size={14} aria-hidden />}
            aria-label={`Refresh interval: ${label}`}
            disabled={!moving}
          >
            {label}
          </Button>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Label>Refresh</Menu.Label>
          <Menu.Item onClick={() => setRefresh(undefined)} fw={refresh === undefined ? 600 : undefined}>
            {auto}
          </Menu.Item>
          <Menu.Item onClick={() => setRefresh("off")} fw={refresh === "off" ? 600 : undefined}>
            Off
          </Menu.Item>
          <Menu.Divider />
          {CHOICES.map((choice) => (
            <Menu.Item key={choice} onClick={() => setRefresh(choice)} fw={refresh === choice ? 600 : undefined}>
              Every {choice === "1m" ? "minute" : `${choice.slice(0, -1)} s`}
            </Menu.Item>
          ))}
        </Menu.Dropdown>
      </Menu>
    </Group>
  );
}
