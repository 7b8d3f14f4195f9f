import { Stack, Text } from "@mantine/core";
import type { Icon } from "@tabler/icons-react";
import type { ReactNode } from "react";

/** Nothing to show: what is missing, and what to do about it. */
export function EmptyState({
  icon: IconOf,
  title,
  children,
  height,
}: {
  icon: Icon;
  title: string;
  children?: ReactNode;
  height?: number;
}) {
  return (
    <Stack align="center" justify="center" gap={6} py="lg" px="md" mih={height} ta="center">
      <IconOf size={26} stroke={1.4} color="var(--mantine-color-dimmed)" aria-hidden />
      <Text fw={600}>{title}</Text>
      {children && (
        <Text size="sm" c="dimmed" maw={520} component="div">
          {children}
        </Text>
      )}
    </Stack>
  );
}
