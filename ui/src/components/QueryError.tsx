import { Alert, Code, Text } from "@mantine/core";
import { IconAlertTriangle } from "@tabler/icons-react";
import { ApiError } from "../api/http";

/** An error where it belongs: what could not be had, and the server's reason. */
export function QueryError({ error, what = "The answer" }: { error: Error; what?: string }) {
  const api = error instanceof ApiError ? error : undefined;
  const title =
    api?.status === 0
      ? "The query service does not answer"
      : api?.status === 404
        ? `${what} is not served here`
        : api?.permanent
          ? "The query was refused"
          : `${what} could not be read`;
  return (
    <Alert color="red" variant="light" icon={<IconAlertTriangle size={18} />} title={title} role="alert" p="sm">
      {api?.status === 0 ? (
        <Text size="sm">Is it still running at {window.location.origin}? This page asks again by itself.</Text>
      ) : (
        <Code block style={{ whiteSpace: "pre-wrap", background: "transparent", padding: 0 }}>
          {error.message}
        </Code>
      )}
    </Alert>
  );
}
