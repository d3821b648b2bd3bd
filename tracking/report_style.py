"""How the report looks: a style sheet and two Jinja templates. What stands in it: report_parts.py."""

CSS = """
:root { color-scheme: light dark; --ink: #1b1e23; --muted: #5d646e; --grid: #dde1e6; --surface: #fdfdfc;
  --raised: #f3f4f2; --accent: #0072b2; --warn: #9a5200; --warn-back: #fdf3e3;
  --s0: #0072b2; --s1: #d55e00; --s2: #009e73; --s3: #b4608e; --s4: #c98600; --s5: #3d9bd6; }
@media (prefers-color-scheme: dark) { :root { --ink: #e7e9ec; --muted: #a0a7b1; --grid: #363b42;
  --surface: #16181b; --raised: #1f2226; --accent: #62b6ea; --warn: #f0b765; --warn-back: #2b2318;
  --s0: #3f9fdc; --s1: #f08a45; --s2: #2fc495; --s3: #dd93bb; --s4: #edb23c; --s5: #8bcbf2; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--surface); color: var(--ink); line-height: 1.5;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { max-width: 58rem; margin: 0 auto; padding: 2rem 1.1rem 4rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .3rem; text-wrap: balance; }
h1 small { font-size: 1rem; font-weight: 400; color: var(--muted); white-space: nowrap; }
h2 { font-size: 1.15rem; margin: 2.6rem 0 .5rem; padding-top: .9rem; border-top: 1px solid var(--grid); }
h3 { font-size: 1rem; margin: 1.6rem 0 .3rem; }
p { margin: .5rem 0; max-width: 44rem; }
.muted, figcaption { color: var(--muted); }
.scores { display: grid; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); gap: .8rem;
  margin: 1.2rem 0; }
.score { background: var(--raised); border-radius: .5rem; padding: .8rem 1rem; }
.score b { display: block; font-size: 1.9rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.score b small { font-size: 1rem; font-weight: 400; color: var(--muted); }
.score span { display: block; }
.caution { background: var(--warn-back); border-left: 4px solid var(--warn); border-radius: .2rem;
  padding: .6rem 1rem; margin: 1.2rem 0; }
.caution ul { margin: .2rem 0; padding-left: 1.1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; margin: .6rem 0; }
th, td { text-align: left; vertical-align: top; padding: .3rem 1.1rem .3rem 0;
  border-bottom: 1px solid var(--grid); }
th { font-weight: 600; vertical-align: bottom; line-height: 1.3; min-width: 3.2rem; max-width: 9rem; }
.n { text-align: right; }
.test + :not(.test) { padding-left: .7rem; }
td.n { white-space: pre; }
.keep { white-space: nowrap; }
td.list { min-width: 9rem; }
td.long { min-width: 22rem; }
.test { background: color-mix(in srgb, var(--accent) 9%, transparent); padding-left: .7rem;
  padding-right: .7rem; }
tfoot td, tfoot th { border-bottom: 0; font-weight: 600; }
figure { margin: 1rem 0; overflow-x: auto; }
figure svg { display: block; width: 100%; max-width: 41rem; min-width: 21rem; height: auto; }
svg text { font-family: inherit !important; }
pre { background: var(--raised); padding: .8rem 1rem; border-radius: .4rem; overflow-x: auto;
  font-size: .82rem; }
code, td.id { font-family: ui-monospace, "Cascadia Mono", Menlo, Consolas, monospace; font-size: .85em;
  overflow-wrap: anywhere; }
td.id { min-width: 8rem; }
details { margin: .6rem 0; }
summary { cursor: pointer; color: var(--accent); }
summary h2 { display: inline; border: 0; padding: 0; }
@media (max-width: 34rem) { main { padding: 1.2rem .9rem 3rem; } h1 { font-size: 1.3rem; } }
@media print { main { max-width: none; } details > * { display: block; } }
"""

HTML = """
{%- macro cells(t, tag, row) -%}
<tr>{% for cell in row %}{% set kind = t.columns[loop.index0].kind %}
<{{ tag }}{% if kind %} class="{{ kind }}"{% endif %}>{{ cell }}</{{ tag }}>{% endfor %}</tr>
{%- endmacro -%}
{%- macro table(t) -%}
<div class="wide"><table><thead>{{ cells(t, "th", t.columns | map(attribute="name")) }}</thead><tbody>
{% for row in t.rows %}{{ cells(t, "td", row) }}
{% endfor %}</tbody>
{%- if t.foot %}<tfoot>{{ cells(t, "td", t.foot) }}</tfoot>{% endif %}</table></div>
{%- if t.left_out %}<p class="muted">{{ t.left_out }}</p>{% endif %}
{%- endmacro -%}
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{ title }}</title>
<style>{{ css }}</style>
</head>
<body>
<main>
<h1>{{ title }} <small>{{ protocol_name }}</small></h1>
<p class="muted">{{ subject }}</p>
{% if headline %}<div class="scores">
{% for score in headline %}<div class="score"><span>{{ score.name }}</span><b>{{ score.value }}&nbsp;%
{%- if score.deviation %} <small>±&nbsp;{{ score.deviation }}</small>{% endif %}</b>
{% if score.interval %}<span>all test videos together {{ score.interval }}</span>{% endif %}
<span class="muted">{{ score.compare }}</span></div>
{% endfor %}</div>{% endif %}
{% for sentence in sentences %}<p>{{ sentence }}</p>
{% endfor %}
{% if cautions %}<div class="caution" role="note"><ul>
{% for note in cautions %}<li>{{ note }}</li>
{% endfor %}</ul></div>{% endif %}
{% for section in sections %}<section>
{% if section.folded %}<details><summary><h2>{{ section.title }}</h2></summary>
{% else %}<h2>{{ section.title }}</h2>
{% endif %}
{% for text in section.texts %}<p>{{ text }}</p>
{% endfor %}
{% if section.figure %}<figure>{{ section.figure }}</figure>{% endif %}
{% for t in section.tables %}{% if t.folded %}<details><summary>{{ t.title }}</summary>
{{ table(t) }}</details>{% else %}{% if t.title %}<h3>{{ t.title }}</h3>{% endif %}
{{ table(t) }}{% endif %}
{% endfor %}
{% if section.code %}<details><summary>{{ section.code_title }}</summary>
<pre>{{ section.code | escape }}</pre></details>{% endif %}
{% if section.folded %}</details>{% endif %}
</section>
{% endfor %}
</main>
</body>
</html>
"""

MARKDOWN = """# {{ title }} ({{ protocol_name }})

{{ subject }}
{% if headline %}

| score | mean over folds (%) | all test videos together | compare |
| --- | --- | --- | --- |
{% for score in headline %}
| {{ score.name }} | {{ score.mean }} | {{ score.interval or "–" }} | {{ score.compare }} |
{% endfor %}
{% endif %}
{% for sentence in sentences %}

{{ sentence }}
{% endfor %}
{% for note in cautions %}
{% if loop.first %}

{% endif %}
> - {{ note }}
{% endfor %}
{% for section in sections %}

## {{ section.title }}
{% for text in section.texts %}

{{ text }}
{% endfor %}
{% for t in section.tables %}
{% if t.title %}

### {{ t.title }}
{% endif %}

|{% for column in t.columns %} {{ column.name }} |{% endfor %}

|{% for column in t.columns %} --- |{% endfor %}

{% for row in t.rows %}
|{% for cell in row %} {{ cell }} |{% endfor %}

{% endfor %}
{% if t.foot %}
|{% for cell in t.foot %} {{ cell }} |{% endfor %}

{% endif %}
{% if t.left_out %}

{{ t.left_out }}
{% endif %}
{% endfor %}
{% if section.code %}

{{ section.code_title }}:

{{ section.code | fenced }}
{% endif %}
{% endfor %}
"""
