// How long a large leaderboard takes, how large it is, and how long its table takes to sort:
//   KORFINSTS=target/release/korfinsts node benches/leaderboard/run.mjs [MODELS] [SUITES]
// Records are made, with as many pairs as the real suites have. Needs the packages of tests/browser
// and the browser that CHROMIUM names [default: /usr/bin/chromium].
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { cpus, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { suite, write } from '../../tests/browser/records.mjs';

const program = resolve(process.env.KORFINSTS ?? 'target/release/korfinsts');
const [models, count] = [Number(process.argv[2] ?? 500), Number(process.argv[3] ?? 12)];
const sizes = { finsts: 370, 'korfin-shift': 222, korfinsts: 1991, 'klue-sts': 519, korsts: 1379, 'korsts-mteb': 1376, sts12: 3108, sts13: 1500, sts14: 3750, sts15: 3000, sts16: 1186, stsb: 1379 };
const suites = Object.entries(sizes).slice(0, count).map(([id, n], i) => suite(id, n, ['finsts', 'korfin-shift', 'korfinsts'].includes(id), i + 1));

const kept = process.env.RECORDS;
const home = mkdtempSync(join(tmpdir(), 'korfinsts-speed-'));
const records = kept ? resolve(kept) : join(home, 'records');
if (!existsSync(records)) {
  mkdirSync(records, { recursive: true });
  for (let m = 0; m < models; m += 1) {
    for (const [s, on] of suites.entries()) write(records, `org-${m % 40}/encoder-${m}`, on, 0.5 + 3 * (m / models), 1000 * s + m);
  }
}
const pairs = suites.reduce((sum, s) => sum + s.pairs.length, 0);
console.log(`${models} models × ${suites.length} suites, ${pairs} pairs per model, ${cpus().length} cores`);

const out = join(home, 'page');
const begun = process.hrtime.bigint();
const said = execFileSync('sh', ['-c', '"$0" leaderboard build --no-reported --records "$1" -o "$2" 2>&1', program, records, out], { env: { ...process.env, KORFINSTS_DATA: join(home, 'data') } });
console.log(said.toString().trim());
console.log(`whole command: ${(Number(process.hrtime.bigint() - begun) / 1e9).toFixed(1)} s`);
for (const name of readdirSync(out)) console.log(`${name}: ${statSync(join(out, name)).size} bytes`);

const { chromium } = createRequire(new URL('../../tests/browser/x.js', import.meta.url))('playwright-core');
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] });
const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
await page.goto(pathToFileURL(join(out, 'index.html')).href);
const times = await page.evaluate(async () => {
  const found = [];
  for (const button of [...document.querySelectorAll('#t thead button')].filter((b) => !b.closest('th').hidden)) {
    for (let click = 0; click < 2; click += 1) {
      const start = performance.now();
      button.click();
      // Layout is part of what the reader waits for.
      document.getElementById('t').getBoundingClientRect();
      found.push(performance.now() - start);
    }
  }
  return found.sort((a, b) => a - b);
});
console.log(`sort with layout: median ${times[times.length >> 1].toFixed(1)} ms, slowest ${times.at(-1).toFixed(1)} ms, ${times.length} sorts`);
const search = await page.evaluate(() => {
  const q = document.getElementById('q');
  const start = performance.now();
  q.value = 'encoder-1';
  q.dispatchEvent(new Event('input'));
  document.getElementById('t').getBoundingClientRect();
  return performance.now() - start;
});
console.log(`search with layout: ${search.toFixed(1)} ms`);
await browser.close();
rmSync(home, { recursive: true });
