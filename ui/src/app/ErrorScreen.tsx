import { Button, Code, Group, Stack, Text, Title } from "@mantine/core";
import { useRouter } from "@tanstack/react-router";
import { TextLink } from "../components/TextLink";

/** What stands in place of a page that failed to render. The shell around it keeps working. */
export function ErrorScreen({ error, reset }: { error: unknown; reset?: () => void }) {
  const router = useRouter();
  const message = error instanceof Error ? error.message : String(error);
  // A new build has other file names; a tab from before asks for chunks that are gone.
  const outdated = /dynamically imported module|module script failed/i.test(message);
  return (
    <Stack p="xl" maw={720} gap="md" role="alert">
      <Title order={1}>{outdated ? "Yagura was updated" : "This page failed"}</Title>
      <Text>
        {outdated
          ? "This tab holds an older version of the interface. Load it again to go on."
          : "The interface met something it does not handle. Your data is not affected."}
      </Text>
      {!outdated && (
        <Code block style={{ whiteSpace: "pre-wrap" }}>
          {message}
        </Code>
      )}
      <Group>
        {!outdated && (
          <Button
            onClick={() => {
              reset?.();
              void router.invalidate();
            }}
          >
            Try again
          </Button>
        )}
        <Button variant={outdated ? "filled" : "default"} onClick={() => window.location.reload()}>
          Load the page again
        </Button>
      </Group>
    </Stack>
  );
}

export function NotFound() {
  return (
    <Stack p="xl" gap="md">
      <Title order={1}>No such page</Title>
      <Text>
        Nothing is found at <Code>{window.location.pathname}</Code>. Go to the <TextLink to="/">overview</TextLink> or
        press <Code>Ctrl K</Code> to find what you look for.
      </Text>
    </Stack>
  );
}
