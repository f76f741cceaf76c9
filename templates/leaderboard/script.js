'use strict';
(() => {
const doc = document, root = doc.documentElement, $ = id => doc.getElementById(id), all = (q, at = doc) => [...at.querySelectorAll(q)];
root.classList.add('on');
const state = new URLSearchParams(location.hash.includes('=') ? location.hash.slice(1) : '');
// State lives in the part after #, so that a copied address shows the same view.
const keep = () => {
  for (const [k, v] of [...state]) if (!v) state.delete(k);
  const hash = state.toString();
  // A link to a part of the page stays while there is no state to keep.
  if (hash || location.hash.includes('=')) try { history.replaceState(null, '', hash ? '#' + hash : location.pathname + location.search); } catch (e) { location.hash = hash; }
  for (const a of all('a.lang')) a.href = a.getAttribute('href').split('#')[0] + (hash ? '#' + hash : '');
};
const set = (k, v) => { v ? state.set(k, v) : state.delete(k); keep(); };

// Light and dark: the button says what a click leads to.
const theme = $('theme'), system = matchMedia('(prefers-color-scheme: dark)');
const dark = () => (state.get('theme') || (system.matches ? 'dark' : 'light')) === 'dark';
const paint = () => {
  const t = state.get('theme');
  if (t === 'dark' || t === 'light') root.dataset.theme = t; else delete root.dataset.theme;
  theme.textContent = theme.dataset[dark() ? 'light' : 'dark'];
};
theme.onclick = () => { set('theme', dark() ? 'light' : 'dark'); paint(); };
system.onchange = paint;
paint();

// A link to a part of the page opens it.
const open = () => {
  const id = decodeURIComponent(location.hash.slice(1)), at = id && !id.includes('=') && $(id);
  for (let d = at; d; d = d.parentElement) if (d.tagName === 'DETAILS') d.open = true;
  if (at && at.tagName === 'DETAILS') { at.scrollIntoView(); at.querySelector('summary').focus({preventScroll: true}); }
};
addEventListener('hashchange', open);

// Escape and a click elsewhere close a menu.
const close = but => all('details.menu[open]').forEach(d => { if (d !== but) d.open = false; });
doc.addEventListener('keydown', e => { const d = e.key === 'Escape' && doc.querySelector('details.menu[open]'); if (d) { close(); d.firstChild.focus(); } });
doc.addEventListener('click', e => close(e.target.closest('details.menu')));

const table = $('t');
if (!table) { keep(); open(); return; }
const heads = [...table.tHead.rows[0].cells], names = heads.map(h => h.dataset.c), home = [...table.tBodies];
const label = c => heads[c].querySelector('button').textContent;
const main = (b, c) => b.rows[0].cells[c], has = (el, c) => el.classList.contains(c);
const number = el => parseFloat((el.dataset.v || (el.firstChild ? el.firstChild.textContent : '')).replace('−', '-'));
const title = b => main(b, 0).firstElementChild.textContent;

// Sort: what is missing comes last, and before it means that lack a part.
const value = (b, c) => {
  const cell = main(b, c);
  if (!has(heads[c], 'num')) { const text = (c ? cell.textContent : title(b)).toLowerCase(); return [text ? 0 : 2, text]; }
  const n = number(cell);
  return [isNaN(n) ? 2 : has(cell, 'part') ? 1 : 0, n];
};
let known = [], bodies = home;
const sort = () => {
  const [name, way] = (state.get('sort') || '').split('~'), c = names.indexOf(name), sign = way === 'up' ? 1 : -1;
  heads.forEach((h, i) => i === c ? h.setAttribute('aria-sort', sign < 0 ? 'descending' : 'ascending') : h.removeAttribute('aria-sort'));
  bodies = home;
  if (c >= 0) {
    const keys = known[c] ??= new Map(home.map(b => [b, value(b, c)]));
    bodies = home.slice().sort((x, y) => {
      const [i, a] = keys.get(x), [j, b] = keys.get(y);
      return i - j || (i > 1 ? 0 : a < b ? -sign : a > b ? sign : 0);
    });
  }
  show();
};
// The first fifty are in the document, until the reader asks for all.
const most = 50, more = $('more'), live = $('live'), word = live.textContent.replace(/^[\d\s/]*/, '');
const show = () => {
  const on = bodies.filter(b => !b.off), shown = state.get('all') ? on : on.slice(0, most), rest = on.length - shown.length, h = table.querySelector('[aria-sort]');
  for (const b of [...table.tBodies]) b.remove();
  table.append(...shown);
  more.hidden = !rest;
  more.textContent = '+ ' + rest;
  $('nothing').hidden = on.length > 0;
  live.textContent = on.length + ' / ' + home.length + ' ' + word + (h ? ' · ' + h.querySelector('button').textContent + (h.getAttribute('aria-sort') === 'descending' ? ' ▼' : ' ▲') : '');
};
more.onclick = () => { set('all', '1'); show(); };
heads.forEach((h, c) => {
  const button = h.querySelector('button');
  button.disabled = false;
  button.onclick = () => {
    const [name, way] = (state.get('sort') || '').split('~'), order = has(h, 'num') ? ['down', 'up'] : ['up', 'down'];
    const next = name !== names[c] ? order[0] : way === order[0] ? order[1] : '';
    set('sort', next && names[c] + '~' + next);
    sort();
  };
});
table.addEventListener('click', e => {
  if (!has(e.target, 'more')) return;
  e.target.setAttribute('aria-expanded', e.target.closest('tbody').classList.toggle('open'));
});

// Search and filters. Spaces and hyphens do not count: "Mini LM" finds MiniLM.
const plain = text => text.normalize('NFKC').toLowerCase().replace(/[^\p{L}\p{N}<>]/gu, '');
const column = k => (b, v) => main(b, names.indexOf(k))?.textContent === v;
const filters = {
  q: (b, v) => (b.plain ??= plain(b.textContent)).includes(plain(v)),
  badge: (b, v) => b.dataset.b.split(' ').includes(v),
  protocol: (b, v) => all('u', b).some(u => u.textContent === v),
  size: (b, v) => { const [low, high] = v.split('-').map(Number), s = +b.dataset.s; return s >= low && s < high; },
  licence: column('licence'),
  language: (b, v) => (b.dataset.l || '').split(' ').includes(v),
  architecture: column('architecture')
};
const filter = () => {
  const active = Object.keys(filters).map(k => [filters[k], state.get(k)]).filter(f => f[1]);
  for (const b of home) b.off = !active.every(f => f[0](b, f[1]));
  show();
};

// Columns: those of the chosen suites, else those that the reader chose.
const sheet = doc.styleSheets[0], rules = sheet.cssRules.length, usual = names.filter((n, c) => 'hide' in heads[c].dataset).join();
const subset = () => state.get('area') || state.get('tongue');
const fits = d => (!state.get('area') || d.area === state.get('area')) && (!state.get('tongue') || d.tongue.split(' ').includes(state.get('tongue')));
const hide = () => {
  const off = (state.get('hide') ?? usual).split(','), gone = [];
  heads.forEach((h, c) => {
    h.hidden = names[c] === 'chosen' ? !subset() : h.dataset.area && subset() ? !fits(h.dataset) : off.includes(names[c]);
    if (h.hidden) gone.push('#t tr>:nth-child(' + (c + 1) + ')');
  });
  if (sheet.cssRules.length > rules) sheet.deleteRule(rules);
  if (gone.length) sheet.insertRule(gone.join() + '{display:none}', rules);
};
// The mean of the chosen suites: each data set once, and those alone that count.
const mean = () => {
  const c = names.indexOf('chosen'), sets = new Map();
  if (subset()) heads.forEach((h, i) => { const d = h.dataset; if (d.area && 'counts' in d && fits(d)) sets.set(d.twin || d.c, [...(sets.get(d.twin || d.c) || []), i]); });
  for (const b of home) {
    const found = [...sets.values()].map(s => s.map(i => main(b, i)).find(x => !isNaN(number(x)))).filter(x => x), n = found.length, whole = n === sets.size, cell = main(b, c);
    cell.replaceChildren(n ? (found.reduce((s, x) => s + number(x), 0) / n).toFixed(3).replace('-', '−') : '–');
    cell.className = n ? 'm' + (whole ? '' : ' part') + (found.some(x => has(x, 't')) ? ' t' : '') + (found.some(x => has(x, 'o')) ? ' o' : '') : '';
    const halves = found.map(x => parseFloat((x.querySelector('i')?.firstChild.textContent || '').slice(1)));
    if (n) { const i = doc.createElement('i'); i.textContent = whole ? '±' + (Math.hypot(...halves) / n).toFixed(2).slice(1) : n + '/' + sets.size; cell.append(i); }
  }
  known = [];
};
const columns = $('columns');
names.forEach((n, c) => {
  if (!c || n === 'chosen') return;
  const el = doc.createElement('label'), box = doc.createElement('input');
  box.type = 'checkbox';
  box.value = n;
  box.checked = !(state.get('hide') ?? usual).split(',').includes(n);
  box.onchange = () => {
    const off = all('input', columns).filter(i => !i.checked).map(i => i.value).join();
    set('hide', off === usual ? '' : off || ',');
    hide();
  };
  el.append(box, label(c));
  columns.append(el);
});
const fields = [...Object.keys(filters), 'area', 'tongue'], field = k => $(k === 'q' ? 'q' : 'f-' + k);
for (const k of fields) {
  const el = field(k);
  el.value = state.get(k) || '';
  if (el.value !== (state.get(k) || '')) state.delete(k);
  el.oninput = () => { set(k, el.value); if (filters[k]) filter(); else { mean(); hide(); sort(); } };
}
doc.querySelector('form').onsubmit = e => e.preventDefault();
$('reset').onclick = () => {
  for (const k of [...fields, 'sort', 'hide', 'all']) state.delete(k);
  for (const k of fields) field(k).value = '';
  for (const i of all('input', columns)) i.checked = !usual.split(',').includes(i.value);
  keep(); mean(); hide(); sort(); filter();
};

// Score against cost: one chart at a time.
const axes = ['up', 'across'].map(k => [k, $('x-' + k)]);
const draw = () => all('figure[data-up]').forEach(f => { f.hidden = axes.some(([k, el]) => f.dataset[k] !== el.value); });
for (const [k, el] of axes) {
  if (state.get(k)) el.value = state.get(k);
  if (el.selectedIndex < 0) el.selectedIndex = 0;
  el.onchange = () => { set(k, el.value); draw(); };
}
draw();

// Several models side by side, by their ids.
const {m, s, d, t} = JSON.parse($('data').textContent), add = $('cmp-add'), out = $('cmp'), chips = $('cmp-chosen');
const couples = new Map(d.map(x => [x[0] + ' ' + x[1], x.slice(2)])), rows = new Map(m), body = new Map(home.map(b => [b.id.slice(2), b]));
const make = (tag, text, cls) => { const el = doc.createElement(tag); el.textContent = text; if (cls) el.className = cls; if (tag === 'th') el.scope = 'col'; return el; };
const draws = (tag, at, text = '') => { const el = doc.createElementNS('http://www.w3.org/2000/svg', tag); for (const k in at) el.setAttribute(k, at[k]); el.textContent = text; return el; };
const num = (v, digits) => { const x = (v / 1e4).toFixed(digits); return (v > 0 ? '+' : '') + x.replace('-', '−'); };
const grid = (caption, head) => {
  const box = doc.createElement('div'), el = doc.createElement('table'), h = el.createTHead().insertRow();
  box.className = 'scroll';
  box.tabIndex = 0;
  box.setAttribute('role', 'group');
  box.setAttribute('aria-label', caption);
  el.className = 'p';
  el.createCaption().textContent = caption;
  for (const [x, c] of head) h.append(make('th', x, c));
  box.append(el);
  out.append(box);
  return el.createTBody();
};
const row = (to, text) => { const r = to.insertRow(), th = make('th', text); th.scope = 'row'; r.append(th); return r; };
const paired = (a, b) => {
  for (const i of rows.get(a)) for (const j of rows.get(b)) { const f = couples.get(Math.min(i, j) + ' ' + Math.max(i, j)); if (f) return [f, i > j]; }
};
const compare = () => {
  const ids = chosen();
  out.replaceChildren();
  chips.replaceChildren(...ids.map((id, i) => {
    const b = make('button', title(body.get(id)) + ' ×', 'k' + i);
    b.type = 'button';
    b.setAttribute('aria-label', t.remove + ' ' + title(body.get(id)));
    b.onclick = () => { set('models', ids.filter(x => x !== id).join() || ','); compare(); };
    return b;
  }));
  if (!ids.length) return;
  const bars = grid(ids.map(id => title(body.get(id))).join(' · '), [[t.suite], ['ρ', 'plot']]);
  const shown = heads.map((h, c) => c).filter(c => (heads[c].dataset.area || names[c].startsWith('mean-')) && ids.some(id => !isNaN(number(main(body.get(id), c)))));
  const found = shown.flatMap(c => ids.map(id => number(main(body.get(id), c)))).filter(v => !isNaN(v)), low = Math.min(0, ...found), high = Math.max(.1, ...found), x = v => (innerWidth < 600 ? 58 : 82) * (v - low) / (high - low) + '%';
  for (const c of shown) {
    const svg = draws('svg', {class: 'bars', height: 18 * ids.length, role: 'img', 'aria-label': label(c)});
    svg.append(draws('line', {x1: x(0), x2: x(0), y1: 0, y2: '100%', class: 'guide'}));
    ids.forEach((id, i) => {
      const cell = main(body.get(id), c), v = number(cell);
      if (isNaN(v)) return;
      svg.append(draws('rect', {x: x(Math.min(0, v)), width: parseFloat(x(Math.abs(v))) - parseFloat(x(0)) + '%', y: 18 * i + 2, height: 13, class: 'b' + i}), draws('text', {x: x(Math.max(0, v)), dx: 5, y: 18 * i + 13}, cell.firstChild.textContent + (has(cell, 't') ? '†' : '') + (has(cell, 'o') || body.get(id).dataset.b === 'reported' ? '◇' : '') + (has(cell, 'part') ? ' ' + cell.lastChild.textContent : '')));
    });
    const td = make('td', '', 'plot');
    td.append(svg);
    row(bars, label(c)).append(td);
  }
  const [a, ...others] = ids;
  for (const b of others) {
    const [f, flip] = paired(a, b) || [], [na, nb] = [a, b].map(id => title(body.get(id)));
    if (!f) { out.append(make('p', na + ' − ' + nb + ': ' + t.none_paired, 'soft')); continue; }
    const to = grid(na + ' − ' + nb, [[t.suite], [t.delta, 'num'], [t.interval, 'num'], [t.p, 'num'], [t.verdict]]);
    for (let at = 0; at < f.length; at += 5) {
      const y = f.slice(at, at + 5), [delta, lo, hi] = flip ? [-y[1], -y[3], -y[2]] : y.slice(1, 4), k = lo > 0 ? 'gain' : hi < 0 ? 'loss' : 'same';
      row(to, s[y[0]]).append(make('td', num(delta, 4), 'num ' + k), make('td', '[' + num(lo, 3) + ', ' + num(hi, 3) + ']', 'num'), make('td', y[4] < 10 ? '<0.001' : (y[4] / 1e4).toFixed(3), 'num'), make('td', k === 'same' ? t.verdict_same : k === 'gain' ? na : nb));
    }
  }
};
const chosen = () => (state.get('models') ?? m.filter(x => !has(body.get(x[0]), 'base')).slice(0, 3).map(x => x[0]).join()).split(',').filter(id => body.has(id)).slice(0, 6);
add.add(new Option('…', ''));
for (const [id] of m) add.add(new Option(title(body.get(id)), id));
add.onchange = () => { if (add.value) { set('models', [...new Set([...chosen(), add.value])].slice(-6).join()); compare(); add.value = ''; } };
keep(); if (subset()) mean(); hide(); sort(); filter(); compare(); open();
})();
