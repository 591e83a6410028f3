/** Draws the edges of the window as SVG, below the rows. */

import { select } from 'd3';
import type { Columns, Edge } from './edges';
import { svg } from './dom';

/** Which edges the newest lookup took, by `nodeid:side`. */
export interface Lit {
  readonly accepted: ReadonlySet<string>;
  readonly refused: ReadonlySet<string>;
  /** Changes with each lookup, so that its path lights up anew. */
  readonly seq: string;
  readonly faded: boolean;
}

export interface Links {
  readonly element: SVGSVGElement;
  /** @param still no transitions: the rows or columns jumped instead of moving */
  draw(edges: readonly Edge[], columns: Columns, lit: Lit, still: boolean): void;
}

/** As long as the rows take to move (map.css). */
const MOVE_MS = 160;

export function links(): Links {
  const element = svg(
    'svg',
    { class: 'links', 'aria-hidden': 'true', focusable: 'false' },
    svg(
      'defs',
      {},
      // Both take the colour of the edge that they end.
      svg(
        'marker',
        {
          id: 'key-end',
          viewBox: '0 0 8 8',
          refX: '4',
          refY: '4',
          markerWidth: '8',
          markerHeight: '8',
          markerUnits: 'userSpaceOnUse',
        },
        svg('circle', { cx: '4', cy: '4', r: '3', fill: 'context-stroke' }),
      ),
      svg(
        'marker',
        {
          id: 'entry-end',
          viewBox: '0 0 8 8',
          refX: '7',
          refY: '4',
          markerWidth: '8',
          markerHeight: '8',
          markerUnits: 'userSpaceOnUse',
          orient: 'auto',
        },
        svg('path', { d: 'M0 .6 7.4 4 0 7.4z', fill: 'context-stroke' }),
      ),
    ),
  );
  const root = select(element);

  return {
    element,
    draw(edges, columns, lit, still) {
      const state = (edge: Edge): string => {
        const place = `${edge.nodeid}:${edge.side}`;
        if (lit.accepted.has(place)) return lit.faded ? ' lit faded' : ' lit';
        if (lit.refused.has(place)) return lit.faded ? ' refused faded' : ' refused';
        return '';
      };

      root
        .selectAll<SVGPathElement, Edge>('path.edge')
        .data(
          edges.filter((edge) => edge.shape !== 'lost'),
          (edge) => edge.id,
        )
        .join(
          (enter) => enter.append('path').attr('d', (edge) => edge.path),
          (update) => {
            const moved = update.filter(function (edge) {
              return this.getAttribute('data-path') !== edge.path;
            });
            if (still) moved.interrupt().attr('d', (edge) => edge.path);
            else
              moved
                .transition()
                .duration(MOVE_MS)
                .attr('d', (edge) => edge.path);
            return update;
          },
        )
        .attr('data-path', (edge) => edge.path)
        .attr('data-node', (edge) => edge.nodeid)
        .attr('data-side', (edge) => edge.side)
        .attr('class', (edge) => `edge ${edge.shape} ${edge.side}${state(edge)}`)
        .attr('marker-start', (edge) => (edge.shape === 'owned' ? 'url(#key-end)' : null))
        .attr('marker-end', 'url(#entry-end)');

      root
        .selectAll<SVGCircleElement, Edge>('circle.socket')
        .data(
          edges.filter((edge) => edge.socket !== undefined),
          (edge) => edge.id,
        )
        .join('circle')
        .attr('class', (edge) => `socket ${edge.side}`)
        .attr('data-node', (edge) => edge.nodeid)
        .attr('r', 3.5)
        .attr('cx', (edge) => edge.socket?.x ?? 0)
        .attr('cy', (edge) => edge.socket?.y ?? 0);

      root
        .selectAll<SVGTextElement, Edge>('text.stub-label')
        .data(
          edges.filter((edge) => edge.label !== undefined),
          (edge) => edge.id,
        )
        .join('text')
        .attr('class', 'stub-label')
        .attr('x', (edge) => edge.label?.x ?? 0)
        .attr('y', (edge) => edge.label?.y ?? 0)
        .text((edge) => edge.label?.text ?? '');

      // The path that the lookup took runs once along its edge.
      root
        .selectAll<SVGPathElement, Edge>('path.run')
        .data(
          lit.faded ? [] : edges.filter((edge) => lit.accepted.has(`${edge.nodeid}:${edge.side}`)),
          (edge) => `${edge.id}:${lit.seq}`,
        )
        .join('path')
        .attr('class', (edge) => `run ${edge.side}`)
        .attr('pathLength', 1)
        .attr('d', (edge) => edge.path);

      root
        .selectAll<SVGPathElement, Edge>('path.cross')
        .data(
          edges.filter((edge) => lit.refused.has(`${edge.nodeid}:${edge.side}`)),
          (edge) => edge.id,
        )
        .join('path')
        .attr('class', lit.faded ? 'cross faded' : 'cross')
        .attr('data-node', (edge) => edge.nodeid)
        .attr('d', ({ cross: { x, y } }) => `M${x - 5} ${y - 5}l10 10m0 -10l-10 10`);

      element.dataset['columns'] = [
        columns.idsEnd,
        columns.entryStart,
        columns.entryEnd,
        columns.handleStart,
      ].join(' ');
    },
  };
}
