// The leaderboard page and the form of raters in a real browser. `KORFINSTS=path/to/korfinsts node run.mjs [SCREENSHOTS]`
// builds a page from made records, opens it from the disk and from the loopback server, and exits
// with 1 where anything is not as promised. CHROMIUM names the browser [default: /usr/bin/chromium],
// TEMPLATES a folder of templates to test instead of the built-in ones.
import { strict as assert } from 'node:assert';
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';
import { suite, write } from './records.mjs';

const program = resolve(process.env.KORFINSTS ?? 'target/release/korfinsts');
const shots = process.argv[2];
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const home = mkdtempSync(join(tmpdir(), 'korfinsts-browser-'));
const env = { ...process.env, KORFINSTS_DATA: join(home, 'data') };
const korfinsts = (...args) => execFileSync(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'] }).toString();
const page_of = (records, out, ...more) => {
  korfinsts('leaderboard', 'build', '--records', records, '-o', out, '--resamples', '500', ...(process.env.TEMPLATES ? ['--templates', process.env.TEMPLATES] : []), ...more);
  return pathToFileURL(join(out, 'index.html')).href;
};

// Models of falling quality, one of them named in Korean, and the baselines on the built-in suite.
const records = join(home, 'records');
const finsts = suite('finsts', 200, true, 1);
const korsts = suite('korsts', 300, false, 2);
['alpha', 'beta', 'org/gamma', '금융-임베딩', 'epsilon', 'zeta'].forEach((name, i) => {
  write(records, name, finsts, 0.6 + 0.5 * i, 10 + i);
  write(records, name, korsts, 0.3 + 0.3 * i, 20 + i);
});
korfinsts('eval', '--results', records, '--resamples', '200', '--quiet');
// Without the built-in encoder: a page of few models holds where its numbers come from itself.
for (const name of readdirSync(records).filter((n) => n.startsWith('nmixx-mini'))) rmSync(join(records, name), { recursive: true });
const address = page_of(records, join(home, 'page'));

// What a hostile submitter would write.
const attacks = [
  '<script>window.pwned=1</script>',
  '"><img src=x onerror="window.pwned=1">',
  "';window.pwned=1;//",
  '</script><script>window.pwned=1</script>',
  '<svg/onload=window.pwned=1>',
  '=HYPERLINK("http://evil.example","x")',
  '{{ 7*7 }}{% include "/etc/passwd" %}',
  'abc\u202Egnp.exe\u2066\u200B',
  'N'.repeat(10000),
  '<!--',
  '\u0000\u0007]]>&lt;',
];
const hostile = join(home, 'hostile');
const everywhere = (text) => (r) => {
  r.encoder.name = text;
  for (const key of ['backend', 'backend_version', 'architecture', 'pooling', 'dtype', 'device', 'protocol', 'similarity', 'revision']) r.encoder[key] = text;
  r.encoder.protocol = text;
  r.encoder.prompts = [text, text];
  r.suite.languages = [text];
  r.warnings = [text, text];
  r.harness = { name: text, version: text };
  r.triplet_accuracy = { [text]: 0.5 };
  r.domains = { [text]: { n_pairs: 3, cosine_spearman: 0.5, interval: null }, other: { n_pairs: 3, cosine_spearman: -0.5, interval: null } };
};
attacks.forEach((text, i) => write(hostile, `attack ${i}`, finsts, 1 + i / 10, 30 + i, everywhere(text)));
attacks.slice(0, 3).forEach((text, i) => write(hostile, `suite ${i}`, { ...korsts, id: text.replace(/[^a-z<>="']/gi, '') || 'x' }, 1, 50 + i, (r) => { r.pairs.name = r.pairs.name.replace(/.*/, `korsts${i}.jsonl`); }));
[NaN, 1e308, -7, '0.5', null].forEach((value, i) => write(hostile, `number ${i}`, korsts, 1, 60 + i, (r) => { r.scores.cosine_spearman = value; r.n_pairs = value; }));
const hostile_address = page_of(hostile, join(home, 'hostile-page'));

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] });
const failures = [];
let done = 0;

async function test(name, options, work) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  const errors = [];
  page.on('pageerror', (e) => errors.push(`error: ${e.message}`));
  page.on('console', (m) => m.type() === 'error' && errors.push(`console: ${m.text()}`));
  page.on('request', (r) => /^(file|data|about):|^http:\/\/127\.0\.0\.1:/.test(r.url()) || errors.push(`request: ${r.url()}`));
  try {
    await work(page, context);
    assert.deepEqual(errors, []);
    console.log(`ok    ${name}`);
  } catch (error) {
    failures.push(name);
    console.log(`FAIL  ${name}\n${error.stack}`);
  }
  done += 1;
  await context.close();
}

const shot = (page, name, full = false) => shots && page.screenshot({ path: join(shots, `${name}.png`), fullPage: full });
if (shots) mkdirSync(shots, { recursive: true });

// The names of the models that are seen.
const names = (page) => page.$$eval('#t tbody', (bodies) => bodies.map((b) => b.rows[0].cells[0].firstElementChild.textContent));
const column = (page, title) => page.$eval('#t thead', (head, title) => [...head.rows[0].cells].findIndex((c) => c.querySelector('button').textContent === title), title);
const scores = async (page, title) => {
  const at = await column(page, title);
  return page.$$eval('#t tbody', (bodies, at) => bodies.map((b) => parseFloat(b.rows[0].cells[at].firstChild.textContent.replace('−', '-'))), at);
};
const violations = async (page) => {
  await page.evaluate(axe);
  const result = await page.evaluate(() => window.axe.run({ resultTypes: ['violations'] }));
  return result.violations.map((v) => `${v.id} (${v.impact}): ${v.nodes.slice(0, 4).map((n) => n.html.slice(0, 160)).join(' | ')}`);
};

await test('the whole table reads without scripts', { javaScriptEnabled: false }, async (page) => {
  await page.goto(address);
  const text = await page.locator('#t').innerText();
  for (const needle of ['alpha', 'org/gamma', '금융-임베딩', 'length', 'bge-m3', '0.2732']) assert.ok(text.includes(needle), needle);
  assert.equal(await page.locator('.controls').first().isVisible(), false);
  assert.equal(await page.locator('#theme').isVisible(), false);
  // A page of its own, as on every board of more than a hundred cells.
  await page.locator('#m-alpha a.badge').first().click();
  await page.waitForURL(/provenance\.html#p-alpha$/);
  await page.locator('#p-alpha summary').click();
  await page.locator('#p-alpha code').first().waitFor();
});

await test('sort by a click and by the keyboard', {}, async (page) => {
  await page.goto(address);
  const button = page.locator('#t thead button', { hasText: 'KorSTS' }).first();
  const title = await button.textContent();
  const sorted = (list, way) => list.every((v, i) => i === 0 || isNaN(v) || way * (list[i - 1] - v) >= 0);
  await button.click();
  let list = await scores(page, title);
  assert.ok(sorted(list.filter((v) => !isNaN(v)), 1), list.join());
  assert.ok(list.findIndex(isNaN) === -1 || list.slice(list.findIndex(isNaN)).every(isNaN), 'what is missing comes last');
  assert.equal(await page.locator('#t [aria-sort]').count(), 1);
  assert.equal(await page.locator('#t [aria-sort]').getAttribute('aria-sort'), 'descending');
  await button.focus();
  await page.keyboard.press('Enter');
  list = await scores(page, title);
  assert.ok(sorted(list.filter((v) => !isNaN(v)), -1), list.join());
  assert.equal(await page.locator('#t [aria-sort]').getAttribute('aria-sort'), 'ascending');
  await page.keyboard.press('Space');
  assert.equal(await page.locator('#t [aria-sort]').count(), 0);
  assert.ok((await page.locator('#live').textContent()).match(/^\d+ \/ \d+/));
});

await test('search and filters hide rows and say how many are left', {}, async (page) => {
  await page.goto(address);
  const all = (await names(page)).length;
  await page.locator('#q').fill('BGE');
  const found = (await names(page));
  assert.ok(found.length > 0 && found.length < all && found.every((n) => n.includes('bge')), found.join());
  assert.ok((await page.locator('#live').textContent()).startsWith(`${found.length} / ${all}`));
  await page.locator('#q').fill('');
  await page.locator('#f-badge').selectOption('reproduced');
  const own = (await names(page));
  assert.ok(own.includes('alpha') && own.includes('length') && !own.includes('bge-m3'), own.join());
  await page.locator('#f-badge').selectOption('');
  await page.locator('#f-size').selectOption('1e9-1e15');
  const large = (await names(page));
  assert.ok(large.includes('e5-mistral-7b-instruct') && !large.includes('bge-m3'), large.join());
  await page.locator('.menu summary').first().click();
  await page.locator('#f-licence').selectOption('MIT');
  assert.ok((await names(page)).every((n) => n === 'e5-mistral-7b-instruct'));
  // Nothing found is said, and Escape closes a menu.
  await page.locator('#f-architecture').selectOption('bert');
  assert.equal((await names(page)).length, 0);
  assert.ok(await page.locator('#nothing').isVisible());
  await page.keyboard.press('Escape');
  assert.equal(await page.locator('details.menu[open]').count(), 0);
  await page.locator('#reset').click();
  assert.equal((await names(page)).length, all);
  assert.equal(await page.locator('#nothing').isVisible(), false);
  for (const text of ['Mini LM', 'minilm', 'mini-lm L12']) {
    await page.locator('#q').fill(text);
    assert.ok((await names(page)).includes('all-MiniLM-L12-v2'), text);
  }
});

await test('columns can be chosen', {}, async (page) => {
  await page.goto(address);
  const head = () => page.$$eval('#t thead th', (cells) => cells.filter((c) => !c.hidden).map((c) => c.dataset.c));
  assert.ok(!(await head()).includes('licence') && (await head()).includes('korsts'));
  await page.locator('.columns summary').click();
  assert.ok(await page.locator('#columns').isVisible());
  await page.locator('#columns input[value=licence]').check();
  await page.locator('#columns input[value=korsts]').uncheck();
  assert.ok((await head()).includes('licence') && !(await head()).includes('korsts'));
  await page.reload();
  assert.ok((await head()).includes('licence') && !(await head()).includes('korsts'), 'kept in the address');
});

await test('an address shows the view it was copied from', {}, async (page, context) => {
  await page.goto(address);
  await page.locator('#t thead button', { hasText: 'FinSTS' }).first().click();
  await page.locator('#q').fill('a');
  for (const name of ['epsilon', 'zeta']) await page.locator('#cmp-add').selectOption({ label: name });
  assert.ok(page.url().includes('epsilon%2Czeta'), 'models are named, not numbered');
  const [url, before, table] = [page.url(), await names(page), await page.locator('#cmp').innerText()];
  assert.ok(url.includes('sort=') && url.includes('q=a'), url);
  const other = await context.newPage();
  await other.goto(url);
  assert.deepEqual(await names(other), before);
  assert.equal(await other.locator('#q').inputValue(), 'a');
  assert.equal(await other.locator('#cmp').innerText(), table);
  await other.goto(`${address}#sort=nothing~up&badge=%3Cscript%3E&models=999,nobody&size=x&hide=model&area=x&up=y`);
  assert.ok((await names(other)).length > 0, 'nonsense in the address is harmless');
});

await test('models are compared in one view, and as the command compares them', {}, async (page) => {
  await page.goto(`${address}#models=zeta,alpha,epsilon`);
  assert.equal(await page.locator('#cmp-chosen button').count(), 3);
  const bars = page.locator('#cmp svg.bars', { has: page.locator('rect') });
  assert.equal(await bars.count(), await page.locator('#cmp table').first().locator('tbody tr').count());
  assert.equal(await bars.first().locator('rect').count(), 3);
  const report = JSON.parse(korfinsts('compare', 'zeta', 'alpha', '--results', records, '--resamples', '500', '--format', 'json'));
  const rows = await page.$$eval('#cmp table', (tables) => [...tables].find((t) => t.caption.textContent === 'zeta − alpha').tBodies[0].innerHTML && [...[...tables].find((t) => t.caption.textContent === 'zeta − alpha').tBodies[0].rows].map((r) => [...r.cells].map((c) => c.textContent.replaceAll('−', '-'))));
  const found = rows.find((r) => r[0].startsWith('FinSTS'));
  assert.equal(parseFloat(found[1]), Number(report.suites.finsts.delta_spearman.toFixed(4)));
  const [low, high] = found[2].slice(1, -1).split(', ').map(Number);
  report.suites.finsts.interval.forEach((v, i) => assert.ok(Math.abs(v - [low, high][i]) < 2e-3, `${found[2]} ${v}`));
  assert.equal(found[4], 'alpha');
  for (let left = 2; left >= 0; left -= 1) {
    await page.locator('#cmp-chosen button').first().click();
    assert.equal(await page.locator('#cmp-chosen button').count(), left);
  }
  assert.equal(await page.locator('#cmp table').count(), 0);
});

await test('one row per model, whose sources open on demand', {}, async (page) => {
  await page.goto(address);
  const all = await names(page);
  assert.equal(new Set(all).size, all.length);
  const model = page.locator('#m-e5-mistral-7b-instruct');
  assert.equal(await model.locator('.source').first().isVisible(), false);
  await model.locator('.more').click();
  assert.equal(await model.locator('.more').getAttribute('aria-expanded'), 'true');
  assert.ok((await model.locator('.source').count()) >= 3);
  assert.ok((await model.innerText()).includes('Result files published by the authors'));
  // A name leads to the model, a badge to where its numbers come from.
  assert.match(await model.locator('th a').first().getAttribute('href'), /^https:\/\/huggingface\.co\//);
  assert.match(await model.locator('a.badge').first().getAttribute('href'), /#p-e5-mistral/);
});

await test('subsets of suites have their own mean', {}, async (page) => {
  await page.goto(address);
  const head = () => page.$$eval('#t thead th', (cells) => cells.filter((c) => !c.hidden).map((c) => c.dataset.c));
  assert.ok(!(await head()).includes('chosen'));
  const [finsts] = await scores(page, 'FinSTS (FinMTEB)');
  await page.locator('#f-area').selectOption('finance');
  assert.ok((await head()).includes('chosen') && !(await head()).includes('korsts') && (await head()).includes('finsts'));
  const first = await page.locator('#t tbody').first().locator('td.m').nth(0).textContent();
  assert.ok(Math.abs(parseFloat(first) - finsts) < 1e-3);
  await page.locator('#f-area').selectOption('');
  await page.locator('#f-tongue').selectOption('ko');
  const chosen = await scores(page, 'Chosen suites');
  assert.ok(chosen.some((v) => !isNaN(v)));
  await page.locator('#t thead button', { hasText: 'Chosen suites' }).click();
  const list = (await scores(page, 'Chosen suites')).filter((v) => !isNaN(v));
  assert.ok(list.length > 2);
  await page.locator('#reset').click();
  assert.ok(!(await head()).includes('chosen'));
});

await test('scores against cost: names do not cover each other, at both widths', {}, async (page) => {
  for (const width of [1440, 390]) {
    await page.setViewportSize({ width, height: 900 });
    await page.goto(address);
    assert.equal(await page.locator('figure[data-up]:visible').count(), 1);
    for (const up of await page.$$eval('#x-up option', (all) => all.map((o) => o.value))) {
      await page.locator('#x-up').selectOption(up);
      const boxes = await page.$$eval('figure[data-up]', (all) => [...all].filter((f) => !f.hidden).flatMap((f) => [...f.querySelectorAll('g text')].filter((e) => e.getClientRects().length && getComputedStyle(e.parentNode).display !== 'none').map((e) => { const r = e.getBoundingClientRect(); return [r.left, r.right, r.top + 2, r.bottom - 2, parseFloat(getComputedStyle(e).fontSize), e.textContent]; })));
      for (const [i, a] of boxes.entries()) {
        assert.ok(a[4] >= 12, `${a[5]} in ${a[4]} px`);
        for (const b of boxes.slice(i + 1)) assert.ok(a[1] <= b[0] || b[1] <= a[0] || a[3] <= b[2] || b[3] <= a[2], `${width}: ${a[5]} covers ${b[5]}`);
      }
    }
    await page.locator('#x-across').selectOption('price');
    assert.ok(await page.locator('figure:visible .empty').isVisible(), 'no price is said');
  }
});

await test('what was trained on a part of a suite has its mark in every chart', {}, async (page) => {
  const folder = join(home, 'trained');
  for (const [i, name] of ['clean', 'seen'].entries()) {
    for (const [s, on] of [finsts, korsts].entries()) {
      write(folder, name, on, 0.6 + i, 80 + i + s, (r) => {
        r.triplet_accuracy = { 'news.framing': 0.75, 'legal.plan': 0.5 };
        if (name === 'seen') r.trained_on = { variants: 3, pairs: 50, other_pairs: on.pairs.length - 50, cosine_spearman_of_others: 0.125, interval_of_others: [0.02, 0.23] };
      });
    }
  }
  const facts = join(home, 'facts.toml');
  writeFileSync(facts, '[[model]]\nname = "seen"\nparameters = 5000000\nadapted_from = "clean"\n[[model]]\nname = "clean"\nparameters = 7000000\n');
  await page.goto(page_of(folder, join(home, 'trained-page'), '--no-reported', '--models', facts));
  await page.$$eval('details', (all) => all.forEach((d) => { d.open = true; }));
  const marks = await page.evaluate(() => ({
    cell: document.querySelector('#m-seen td.t') && getComputedStyle(document.querySelector('#m-seen td.t'), ':before').content,
    scatter: [...document.querySelectorAll('#cost svg g text')].filter((e) => e.textContent.startsWith('seen')).map((e) => e.textContent),
    bars: [...document.querySelectorAll('#cmp svg.bars text')].filter((e) => e.textContent.includes('0.125')).map((e) => e.textContent),
    heat: [...document.querySelectorAll('.heat tbody tr')].filter((r) => r.cells[0].textContent.startsWith('seen')).map((r) => r.innerText),
    suite: [...document.querySelectorAll('#suites table.d:not(.heat) tbody tr')].filter((r) => r.cells[0].textContent === 'seen').map((r) => r.innerText),
    arrows: [...document.querySelectorAll('#adaptation td.plot')].map((c) => c.innerText),
    answer: document.querySelector('.answers').innerText,
  }));
  assert.match(marks.cell, /†/);
  for (const [where, texts] of Object.entries(marks).filter(([k]) => !['cell', 'answer'].includes(k))) {
    assert.ok(texts.length > 0, where);
    for (const text of texts) assert.ok(text.includes('†'), `${where}: ${text}`);
  }
  assert.deepEqual(await violations(page), []);
});

await test('Korean, and the same view in both languages', {}, async (page) => {
  await page.goto(address);
  await page.locator('#q').fill('alpha');
  await page.locator('a.lang').click();
  await page.waitForURL(/index\.ko\.html/);
  assert.equal(await page.locator('html').getAttribute('lang'), 'ko');
  assert.equal(await page.locator('#q').inputValue(), 'alpha');
  assert.ok((await page.locator('h1').textContent()).includes('리더보드'));
  await page.locator('#reset').click();
  assert.equal(await page.locator('#t [lang=ko]').count(), 1, 'the Korean name is marked');
  await shot(page, 'korean', true);
  assert.deepEqual(await violations(page), []);
});

await test('dark as the system says, and as the reader says', { colorScheme: 'dark' }, async (page) => {
  await page.goto(address);
  const back = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const dark = await back();
  assert.equal(await page.locator('#theme').textContent(), 'Light mode');
  await shot(page, 'dark', true);
  assert.deepEqual(await violations(page), []);
  await page.locator('#theme').click();
  assert.notEqual(await back(), dark);
  assert.equal(await page.locator('#theme').textContent(), 'Dark mode');
  await page.reload();
  assert.notEqual(await back(), dark, 'kept in the address');
});

await test('the keyboard alone reaches everything', {}, async (page) => {
  await page.goto(address);
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.className), 'skip');
  const reached = new Set();
  for (let i = 0; i < 400; i += 1) {
    await page.keyboard.press('Tab');
    const at = await page.evaluate(() => {
      const e = document.activeElement;
      const style = getComputedStyle(e);
      return [e.id || e.dataset.c || e.closest('th')?.dataset.c || e.tagName, style.outlineStyle !== 'none' && style.outlineWidth !== '0px'];
    });
    if (at[0] === 'BODY') break;
    assert.ok(at[1], `focus is seen on ${at[0]}`);
    reached.add(at[0]);
  }
  for (const id of ['theme', 'q', 'f-badge', 'f-area', 'reset', 'finsts', 'korsts', 'x-up', 'cmp-add', 'SUMMARY']) assert.ok(reached.has(id), id);
});

await test('a row leads to where its numbers come from', {}, async (page) => {
  await page.goto(address);
  await page.locator('#m-alpha a.badge').first().click();
  await page.waitForURL(/provenance\.html#p-alpha$/);
  await page.locator('#p-alpha[open]').waitFor();
  assert.ok((await page.locator('#p-alpha').innerText()).includes('sha256'));
  await page.$$eval('details', (all) => all.forEach((d) => { d.open = true; }));
  assert.deepEqual(await violations(page), []);
  // A small board holds it on the page itself.
  await page.goto(page_of(records, join(home, 'small'), '--no-reported'));
  await page.locator('#m-alpha a.badge').first().click();
  // The page hears of its new address only after the click has returned.
  await page.waitForURL(/index\.html#p-alpha$/);
  await page.locator('#p-alpha[open]').waitFor();
  assert.ok((await page.locator('#p-alpha').innerText()).includes('sha256'));
  assert.ok((await names(page)).length > 0);
});

for (const width of [320, 390]) {
  await test(`a screen of ${width} pixels`, { viewport: { width, height: 800 }, isMobile: true, hasTouch: true }, async (page) => {
    await page.goto(address);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(wide <= width, `the page is ${wide} wide`);
    // Names and heads stay while the table is moved, and nothing of a chart is cut.
    await page.locator('.board').evaluate((e) => { e.scrollLeft = 400; });
    const stays = await page.$eval('#t tbody th', (e) => Math.round(e.getBoundingClientRect().left - e.closest('.board').getBoundingClientRect().left));
    assert.ok(stays <= 2, `the name moved by ${stays}`);
    const cut = await page.$$eval('.chart, #cmp .bars', (all, width) => all.filter((e) => e.getBoundingClientRect().width && e.getBoundingClientRect().right > width).length, width);
    assert.equal(cut, 0, 'no chart is cut');
    await shot(page, `narrow-${width}`, true);
    assert.deepEqual(await violations(page), []);
  });
}

await test('the columns fit a screen of 1,440 pixels', { viewport: { width: 1440, height: 900 } }, async (page) => {
  await page.goto(address);
  const [inner, outer] = await page.$eval('.board', (e) => [e.scrollWidth, e.clientWidth]);
  assert.ok(inner <= outer, `${inner} in ${outer}`);
  assert.ok(await page.locator('.answers .first').isVisible() && await page.$eval('#t tbody tr', (e) => e.getBoundingClientRect().top < 900), 'the answer and the table are on the first screen');
});

await test('axe finds nothing, and the page as it looks', {}, async (page) => {
  await page.goto(address);
  await shot(page, 'desktop');
  await page.$$eval('details', (all) => all.forEach((d) => { d.open = true; }));
  assert.deepEqual(await violations(page), []);
  await shot(page, 'desktop-all', true);
  await page.goto(address.replace('index.html', 'pairs.html'));
  await page.$$eval('details', (all) => all.forEach((d) => { d.open = true; }));
  assert.deepEqual(await violations(page), []);
  await shot(page, 'pairs', true);
});

await test('print leaves the controls out', {}, async (page) => {
  await page.goto(address);
  await page.emulateMedia({ media: 'print' });
  assert.equal(await page.locator('.controls').first().isVisible(), false);
  assert.ok(await page.locator('#t').isVisible());
  const pdf = await page.pdf();
  assert.ok(pdf.length > 10000);
});

await test('hostile records run nothing and break nothing', {}, async (page) => {
  for (const url of [hostile_address, hostile_address.replace('index.html', 'index.ko.html'), hostile_address.replace('index.html', 'pairs.html')]) {
    await page.goto(url);
    assert.equal(await page.evaluate(() => window.pwned), undefined);
    assert.equal(await page.locator('script').count(), url.includes('pairs') ? 1 : 2);
    assert.equal(await page.locator('img, iframe, object, embed, main [onerror], main [onload]').count(), 0);
    const text = await page.locator('body').innerText();
    assert.ok(!/[\u202A-\u202E\u2066-\u2069\u200B\u0000-\u0008]/.test(text), 'no hidden marks');
    assert.ok(!text.includes('root:x:0') && !/\b49\b\{%/.test(text));
  }
  await page.goto(hostile_address);
  const longest = await page.$$eval('#t tbody th > :first-child', (all) => Math.max(...all.map((a) => a.textContent.length)));
  assert.ok(longest <= 110, `${longest}`);
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true);
  await page.locator('#t thead button').nth(5).click();
  await page.locator('#q').fill('<script>');
  assert.ok((await names(page)).length >= 1);
  await shot(page, 'hostile', true);
  const folder = join(home, 'hostile-page');
  for (const name of readdirSync(folder)) {
    const content = readFileSync(join(folder, name), 'utf8');
    assert.ok(!/[\u202A-\u202E\u2066-\u2069\u200B\u0000-\u0008]/.test(content), `${name} holds hidden marks`);
    assert.ok(!content.includes('N'.repeat(500)), `${name} holds a long name`);
    if (name.endsWith('.csv')) assert.ok(!/(^|,)"?[=+@]/m.test(content), 'a formula in the CSV');
    if (name.endsWith('.md')) assert.ok(!content.includes('<script'), 'markup in the Markdown');
  }
  JSON.parse(readFileSync(join(folder, 'board.json'), 'utf8'));
});

await test('served on loopback', {}, async (page) => {
  const server = spawn(program, ['leaderboard', 'serve', join(home, 'page'), '--port', '0'], { env, stdio: ['ignore', 'pipe', 'ignore'] });
  try {
    const url = await new Promise((found, lost) => { server.stdout.once('data', (d) => found(d.toString().trim())); server.once('exit', lost); });
    assert.match(url, /^http:\/\/127\.0\.0\.1:\d+\/$/);
    await page.goto(url);
    assert.ok((await names(page)).includes('alpha'));
    await page.locator('#t thead button').nth(5).click();
    assert.equal(await page.locator('#t [aria-sort]').count(), 1);
    for (const [path, code] of [['..%2f..%2fetc/passwd', 404], ['../Cargo.toml', 404], ['nope', 404], ['results.csv', 200]]) {
      assert.equal((await page.request.get(url + path)).status(), code, path);
    }
    assert.equal((await page.request.post(url)).status(), 405);
    assert.equal((await page.request.get(url, { headers: { Host: 'evil.example' } })).status(), 403);
  } finally {
    server.kill();
  }
});

await test('of many models the first fifty are laid out, and all can be had', {}, async (page) => {
  const many = join(home, 'many');
  const on = suite('korsts', 40, false, 3);
  for (let i = 0; i < 120; i += 1) write(many, `model-${i}`, on, 0.2 + i / 30, 900 + i);
  await page.goto(page_of(many, join(home, 'many-page'), '--no-reported'));
  assert.equal((await names(page)).length, 50);
  assert.ok((await page.locator('#live').textContent()).startsWith('120 / 120'));
  const best = (await names(page))[0];
  await page.locator('#t thead button', { hasText: 'KorSTS' }).first().click();
  await page.locator('#t thead button', { hasText: 'KorSTS' }).first().click();
  assert.ok(!(await names(page)).includes(best), 'sorting looks at every row');
  await page.locator('#q').fill(best);
  assert.ok((await names(page)).includes(best), 'so does the search');
  await page.locator('#q').fill('');
  await page.locator('#more').click();
  assert.equal((await names(page)).length, 120);
  assert.equal(await page.locator('#more').isVisible(), false);
  await page.locator('#t a.badge').first().click();
  await page.waitForURL(/provenance\.html#p-/);
  await page.locator('details[open]').waitFor();
  assert.equal(await page.locator('details[open]').count(), 1);
  assert.deepEqual(await violations(page), []);
});

await test('ten models on twelve suites stay small', {}, async () => {
  const ten = join(home, 'ten');
  const ids = ['finsts', 'korfin-shift', 'korfinsts', 'klue-sts', 'korsts', 'korsts-mteb', 'sts12', 'sts13', 'sts14', 'sts15', 'sts16', 'stsb'];
  ids.forEach((id, s) => {
    const on = suite(id, 60, s < 3, 70 + s);
    for (let i = 0; i < 10; i += 1) write(ten, `organisation/encoder-of-a-usual-name-${i}`, on, 0.5 + i / 4, 2000 + 20 * s + i);
  });
  page_of(ten, join(home, 'ten-page'), '--no-reported');
  for (const name of ['index.html', 'index.ko.html']) {
    const { size } = statSync(join(home, 'ten-page', name));
    assert.ok(size <= 150_000, `${name}: ${size} bytes`);
  }
});

await test('the form of raters scores, keeps and downloads, from the disk', { acceptDownloads: true }, async (page) => {
  const kit = join(home, 'kit');
  korfinsts('suite', 'annotate', 'korfin-shift-2:dev', '-o', kit, '--sample', '1');
  const form = pathToFileURL(join(kit, 'form.html')).href;
  await page.goto(form);
  assert.equal(await page.locator('html').getAttribute('lang'), 'ko');
  assert.deepEqual(await violations(page), []);
  await shot(page, 'annotate-start');
  const texts = () => page.locator('.text').allTextContents();
  for (const rater of [1, 2, 3]) {
    await page.locator('#raters button').nth(rater - 1).click();
    const first = await texts();
    await page.keyboard.press('4');
    assert.notDeepEqual(await texts(), first, 'a score goes on to the next pair');
    await page.keyboard.press('ArrowLeft');
    assert.deepEqual(await texts(), first);
    assert.equal(await page.locator('[data-score][aria-pressed=true] b').textContent(), '4');
    // A note is text: digits in it score nothing.
    await page.keyboard.press('n');
    await page.keyboard.type('=1+1, "2"');
    await page.keyboard.press('Escape');
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('0');
    assert.ok((await page.locator('#done').textContent()).includes('2'));
    // The browser was closed and opened again: the scores are there, and the first open pair is shown.
    await page.goto(form);
    await page.locator('#raters button').nth(rater - 1).click();
    assert.ok((await page.locator('#place').textContent()).includes('3'));
    assert.ok((await page.locator('#done').textContent()).includes('2'));
    for (let i = 2; i < 12; i += 1) await page.keyboard.press(String(i % 6));
    if (rater === 2) {
      await page.locator('#language').click();
      assert.ok((await page.locator('#done').textContent()).startsWith('12 of 12'));
      assert.deepEqual(await violations(page), []);
      await shot(page, 'annotate-en');
      await page.locator('#language').click();
      await shot(page, 'annotate-ko');
      await page.setViewportSize({ width: 360, height: 740 });
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'fits a phone');
      await shot(page, 'annotate-phone', true);
      await page.setViewportSize({ width: 1280, height: 900 });
    }
    const [download] = await Promise.all([page.waitForEvent('download'), page.locator('#save').click()]);
    assert.equal(download.suggestedFilename(), `sheet-${rater}.csv`);
    await download.saveAs(join(kit, `sheet-${rater}.csv`));
    await page.locator('#other').click();
  }
  const sheet = readFileSync(join(kit, 'sheet-1.csv'), 'utf8');
  assert.ok(sheet.includes(`"'=1+1, ""2"""`), sheet.slice(0, 400));
  const found = JSON.parse(korfinsts('suite', 'annotate', '--read', kit, '--format', 'json'));
  assert.deepEqual(found.raters.map((r) => [r.scored, r.missing]), [[12, 0], [12, 0], [12, 0]]);
  assert.equal(found.agreement.all.pairs, 12);
});

await browser.close();
rmSync(home, { recursive: true });
console.log(`${done - failures.length} of ${done} passed`);
process.exitCode = failures.length ? 1 : 0;
