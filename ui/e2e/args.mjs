// The command line: `--name value` pairs, each known by name.

const KNOWN = new Set(["url", "screenshots", "page", "expect", "schemes", "timeout"]);

export function parseArgs(argv) {
  const args = {};
  for (let index = 0; index < argv.length; index += 2) {
    const name = argv[index]?.replace(/^--/, "");
    if (!argv[index]?.startsWith("--") || !KNOWN.has(name) || argv[index + 1] === undefined) {
      throw new Error(`usage: npm run e2e -- --url URL [--screenshots DIR] [--schemes dark,light] [--timeout SECONDS]
       npm run e2e -- --url URL --page PATH --expect TEXT
(at ${argv[index]})`);
    }
    args[name] = argv[index + 1];
  }
  if (!args.url) throw new Error("--url is missing: the address of a running query service");
  if ((args.page === undefined) !== (args.expect === undefined)) throw new Error("--page and --expect belong together");
  return {
    url: args.url.replace(/\/$/, ""),
    screenshots: args.screenshots,
    page: args.page,
    expect: args.expect,
    schemes: (args.schemes ?? "dark,light").split(","),
    timeoutMs: Number(args.timeout ?? 30) * 1000,
  };
}
