// The stages of a call as a table whose bars are placed by style. Long stretches in which nothing is recorded are
// squeezed; attempts that failed are hatched; the first token is marked.
import { milliseconds, stageName } from "../core/format.js";
import { html } from "../core/html.js";

const IDLE_FROM = 0.4; // of the whole width
const SQUEEZED_TO = 0.06;
const ASKING = new Set(["connect", "first_token", "generation"]);

/** Stretches that no span covers, as [from, to] in milliseconds. */
function gapsBetween(spans, whole) {
  const gaps = [];
  let covered = 0;
  for (const span of [...spans].sort((one, other) => one.began_ms - other.began_ms)) {
    if (span.began_ms > covered) gaps.push([covered, span.began_ms]);
    covered = Math.max(covered, span.ended_ms);
  }
  if (whole > covered) gaps.push([covered, whole]);
  return gaps;
}

/** A scale from milliseconds to shares of the width, with long gaps squeezed; and which these are. */
function scaleOf(spans, whole) {
  const squeezed = gapsBetween(spans, whole).filter(([from, to]) => to - from > IDLE_FROM * whole);
  const cut = squeezed.reduce((sum, [from, to]) => sum + to - from, 0);
  const left = 1 - SQUEEZED_TO * squeezed.length;
  const place = (at) => {
    let plain = at;
    let narrow = 0;
    for (const [from, to] of squeezed) {
      if (at <= from) break;
      const part = Math.min(at, to) - from;
      plain -= part;
      narrow += (SQUEEZED_TO * part) / (to - from);
    }
    return whole > cut ? narrow + (left * plain) / (whole - cut) : narrow;
  };
  return { place, squeezed };
}

/** Whether a model was asked in this span without success: a later attempt followed, or the whole request failed. */
function isOfFailure(span, spans, requests) {
  if (span.stage === "failed_requests") return true;
  if (!ASKING.has(span.stage)) return false;
  const others = spans.filter((each) => each.request === span.request);
  if (others.some((each) => each.attempt > span.attempt)) return true;
  const request = requests.find((each) => each.number === span.request);
  return Boolean(request && request.outcome !== "ok" && span.attempt > 0);
}

/** The stage that explains most of what the call took beyond the usual; `null` where nothing did. */
function slowestBeyondUsual(timings, usual) {
  const excess = Object.entries(usual?.stages ?? {})
    .filter(([name]) => name !== "latency_ms" && name !== "total_ms")
    .map(([name, stage]) => [name.replace(/_ms$/, ""), (timings[name] ?? 0) - stage.p50])
    .filter(([, more]) => more > 0)
    .sort(([, one], [, other]) => other - one);
  return excess[0] ?? null;
}

export function Waterfall({ spans: told, whole, firstToken, requests, timings, usual }) {
  const spans = told.map((span) => ({ ...span, stage: span.stage.replace(/_ms$/, "") }));
  const { place, squeezed } = scaleOf(spans, whole);
  const percent = (share) => `${(100 * share).toFixed(2)}%`;
  const slowest = slowestBeyondUsual(timings, usual);
  return html`
    <div class="scroll" role="region" aria-label="Stages as bars" tabindex="0">
      <table class="waterfall">
        <caption>Stages of the call in the order in which they began</caption>
        <thead>
          <tr>
            <th scope="col">Stage</th>
            <th scope="col">Request</th>
            <th scope="col" class="number">Try</th>
            <th scope="col">Model</th>
            <th scope="col" class="number">Began after</th>
            <th scope="col" class="number">Took</th>
            <th scope="col" class="bars"><span class="unseen">From the beginning to the end, ${milliseconds(whole)}</span></th>
          </tr>
        </thead>
        <tbody>
          ${spans.map((span, index) => {
            const failed = isOfFailure(span, spans, requests);
            const isSlowest = slowest?.[0] === span.stage;
            return html`<tr key=${index} class=${isSlowest ? "slowest" : ""}>
              <th scope="row">${stageName(span.stage)}${failed && span.stage !== "failed_requests" ? " (failed)" : ""}${isSlowest ? " – most of the excess" : ""}</th>
              <td>${span.request || ""}</td>
              <td class="number">${span.request ? span.attempt : ""}</td>
              <td>${span.model ?? ""}</td>
              <td class="number">${milliseconds(span.began_ms)}</td>
              <td class="number">${milliseconds(span.ended_ms - span.began_ms)}</td>
              <td class="bars">
                <div class="track">
                  ${squeezed.map(([from, to], at) => html`<i key=${at} class="squeezed" style=${{ left: percent(place(from)), width: percent(place(to) - place(from)) }}></i>`)}
                  <i
                    class="bar ${failed ? "failed" : ""} stage-${span.stage}"
                    style=${{ left: percent(place(span.began_ms)), width: percent(place(span.ended_ms) - place(span.began_ms)) }}
                  ></i>
                  ${firstToken !== null && html`<i class="first-token" style=${{ left: percent(place(firstToken)) }}></i>`}
                </div>
              </td>
            </tr>`;
          })}
        </tbody>
      </table>
    </div>
    <p class="quiet">
      ${firstToken !== null && html`The upright line is the first token, after ${milliseconds(firstToken)}. `}
      ${squeezed.length > 0 && html`Squeezed, as nothing was recorded in them: ${squeezed.map(([from, to]) => milliseconds(to - from)).join(", ")}. `}
      ${slowest && html`In bold is what explains most of the time beyond the usual: ${stageName(slowest[0])}, ${milliseconds(slowest[1])} more. `}
    </p>
  `;
}
