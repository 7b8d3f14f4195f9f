// What the server holds, asked through its public APIs: the pages must show exactly that.

async function get(url) {
  const response = await fetch(url);
  if (!response.ok)
    throw new Error(`${url} answered with ${response.status}: ${(await response.text()).slice(0, 200)}`);
  return response.json();
}

// What the autoscaler says of the nodes; undefined without one, or while none leads.
async function fleetOf(base) {
  const response = await fetch(`${base}/api/v1/nodes`);
  if (response.status === 501 || response.status === 503) return undefined;
  if (!response.ok) throw new Error(`/api/v1/nodes answered with ${response.status}`);
  return response.json();
}

function refs({ data }) {
  return data.result.map(({ metric }) => ({ namespace: metric.target_namespace, name: metric.autoscaler }));
}

export async function takeStock(base) {
  const now = Date.now() / 1000;
  const range = `start=${now - 900}&end=${now}`;
  const nanos = `start=${Math.round((now - 900) * 1000)}000000&end=${Math.round(now * 1000)}000000`;
  const prom = (path) => get(`${base}/prometheus/api/v1/${path}`);
  const [names, nodes, logServices, services, autoscalers, sized, containers, fleet] = await Promise.all([
    prom(`label/__name__/values?${range}`),
    prom(`label/node/values?match[]=node_cpu_seconds_total&${range}`),
    get(`${base}/loki/api/v1/label/service_name/values?${nanos}`),
    get(`${base}/jaeger/api/services`),
    prom(`query?query=${encodeURIComponent("yagura_autoscaler_replicas_current")}`),
    prom(
      `query?query=${encodeURIComponent("group by (target_namespace, autoscaler) (yagura_autoscaler_size_request)")}`,
    ),
    prom(`query?query=${encodeURIComponent('container_memory_working_set_bytes{container!="",pod!=""}')}`),
    fleetOf(base),
  ]);
  const stock = {
    metrics: names.data ?? [],
    nodes: nodes.data ?? [],
    logServices: logServices.data ?? [],
    services: services.data ?? [],
    // Those that scale, and those that size: one may do both.
    autoscalers: refs(autoscalers),
    sized: refs(sized),
    pods: [...new Set(containers.data.result.map(({ metric }) => metric.pod))],
    fleet,
    trace: undefined,
  };
  for (const service of stock.services) {
    const query = `service=${encodeURIComponent(service)}&limit=20&start=${Math.round((now - 900) * 1e6)}&end=${Math.round(now * 1e6)}`;
    const found = await get(`${base}/jaeger/api/traces?${query}`);
    const deepest = (found.data ?? []).sort((a, b) => b.spans.length - a.spans.length)[0];
    if (deepest && deepest.spans.length > (stock.trace?.spans ?? 0)) {
      stock.trace = { id: deepest.traceID, spans: deepest.spans.length, operation: deepest.spans[0].operationName };
    }
  }
  return stock;
}
