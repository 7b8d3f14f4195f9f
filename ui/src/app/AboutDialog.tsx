import { Anchor, Modal, Stack, Table, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { buildInfo } from "../api/prometheus";
import { QueryError } from "../components/QueryError";

/** Which server this is, in its own words. */
export function AboutDialog({ opened, onClose }: { opened: boolean; onClose: () => void }) {
  const build = useQuery({
    queryKey: ["buildinfo"],
    queryFn: ({ signal }) => buildInfo(signal),
    enabled: opened,
    staleTime: 60_000,
  });
  const rows: [string, string | undefined][] = [
    ["Address", window.location.origin],
    ["Version", build.data?.version],
    ["Revision", build.data?.revision],
    ["Built", build.data?.buildDate],
    ["Go", build.data?.goVersion],
  ];
  return (
    <Modal opened={opened} onClose={onClose} title="About this server" closeButtonProps={{ "aria-label": "Close" }}>
      <Stack gap="md">
        <Text size="sm">Yagura watches a Kubernetes cluster and scales it, and can say why it did.</Text>
        {build.error && <QueryError error={build.error} what="The build information" />}
        <Table>
          <Table.Tbody>
            {rows.map(([name, value]) => (
              <Table.Tr key={name}>
                <Table.Th w={100}>{name}</Table.Th>
                <Table.Td className="mono">{value || "not given"}</Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
        <Text size="sm" c="dimmed">
          The API is described in{" "}
          <Anchor href="/api/openapi.yaml" target="_blank" rel="noreferrer">
            openapi.yaml
          </Anchor>
          ; the server's own series are at{" "}
          <Anchor href="/metrics" target="_blank" rel="noreferrer">
            /metrics
          </Anchor>
          . Free software under AGPL-3.0-only.
        </Text>
      </Stack>
    </Modal>
  );
}
