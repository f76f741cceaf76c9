// Records for the browser tests: made here, since real ones hold nothing hostile and too few models.
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

// A small seeded generator (mulberry32): the same records on every run.
export function random(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

function midRanks(values) {
  const order = values.map((v, i) => [v, i]).sort((a, b) => a[0] - b[0]);
  const ranks = new Array(values.length);
  for (let at = 0; at < order.length; ) {
    let end = at;
    while (end < order.length && order[end][0] === order[at][0]) end += 1;
    for (let i = at; i < end; i += 1) ranks[order[i][1]] = (at + end + 1) / 2;
    at = end;
  }
  return ranks;
}

export function spearman(x, y) {
  const [a, b] = [midRanks(x), midRanks(y)];
  const mean = (x.length + 1) / 2;
  let [xy, xx, yy] = [0, 0, 0];
  a.forEach((r, i) => {
    xy += (r - mean) * (b[i] - mean);
    xx += (r - mean) ** 2;
    yy += (b[i] - mean) ** 2;
  });
  return xy / Math.sqrt(xx * yy);
}

const sha256 = (text) => createHash('sha256').update(text).digest('hex');

// Gold scores and domains of a suite: the same for every model.
export function suite(id, n, binary, seed, release = sha256(id)) {
  const next = random(seed);
  const pairs = [];
  for (let i = 0; i < n; i += 1) {
    const truth = next();
    pairs.push({ id: `p-${i}`, truth, gold: binary ? Math.round(truth) : Math.round(truth * 50) / 10, domain: ['news', 'legal', 'report'][i % 3] });
  }
  return { id, binary, pairs, release };
}

// Writes a model's record and per-pair scores; the better the model, the smaller its noise.
export function write(folder, name, on, noise, seed, change = () => {}) {
  const next = random(seed);
  const pairs = on.pairs.map((p) => ({ id: p.id, gold: p.gold, score: p.truth + noise * (next() - 0.5), domain: p.domain }));
  const lines = pairs.map((p) => JSON.stringify(p) + '\n').join('');
  const rho = spearman(pairs.map((p) => p.score), pairs.map((p) => p.gold));
  const of = (domain) => pairs.filter((p) => p.domain === domain);
  const domains = {};
  for (const domain of ['legal', 'news', 'report']) {
    const part = of(domain);
    domains[domain] = { n_pairs: part.length, cosine_spearman: spearman(part.map((p) => p.score), part.map((p) => p.gold)), interval: null };
  }
  const ceiling = on.binary ? 0.86 : 1;
  const record = {
    schema_version: 1,
    encoder: { name, revision: null, backend: 'candle', backend_version: '1', sha256: sha256(name), tokenizer_sha256: null, files: [], architecture: 'bert', pooling: 'mean', dimension: 8, max_tokens: 256, dtype: 'float32', device: 'cpu', protocol: 'mteb', prompts: ['', ''], similarity: 'cosine', decisions: [] },
    suite: { id: on.id, version: '1.0.0', split: 'test', release_id: on.release, scale: on.binary ? 'binary' : 'interval', languages: ['kor-Hang'], limit: null, mteb_task: null, hub_revision: null },
    n_pairs: pairs.length,
    scores: { cosine_spearman: rho, auc: on.binary ? 0.5 + rho / 2 / 0.87 : null, ceiling, spearman_over_ceiling: on.binary ? rho / ceiling : null },
    interval: { cosine_spearman: [Math.max(-1, rho - 0.05), Math.min(1, rho + 0.05)] },
    domains,
    macro_spearman: rho,
    within_domain_spearman: rho,
    triplet_accuracy: {},
    truncated_share: 0.01,
    tokens_lost_share: 0.001,
    tie_share: 0,
    warnings: ['made for a test'],
    bootstrap: { resamples: 10000, seed: 0, level: 0.95 },
    batch: null,
    harness: { name: 'korfinsts', version: '0' },
    pairs: { name: `${on.id}.test.mteb.pairs.jsonl`, sha256: sha256(lines) },
  };
  change(record);
  const at = join(folder, `${sha256(name).slice(0, 12)}`);
  mkdirSync(at, { recursive: true });
  writeFileSync(join(at, `${on.id}.test.mteb.pairs.jsonl`), lines);
  writeFileSync(join(at, `${on.id}.test.mteb.json`), JSON.stringify(record));
  return record;
}
