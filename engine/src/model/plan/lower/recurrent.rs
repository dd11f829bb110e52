//! LSTM and GRU: what their rows contribute becomes an affine step, the recurrence a step of its own.

use super::super::PlanError;
use super::super::kernels::recurrent::{Direction, Gru, Layout, Lstm};
use super::super::onnx::Node;
use super::super::step::{LANES, Step};
use super::super::tensor::View;
use super::super::weights::Weights;
use super::{Lowering, Value};

/// The weights of one direction, as ONNX has them.
struct Given<'w> {
    input: &'w [f32],
    recurrence: &'w [f32],
    bias: &'w [f32],
}

impl<'a> Lowering<'a> {
    pub(super) fn lstm(&mut self, node: Node<'a>) -> Result<(), PlanError> {
        if node.int("input_forget", 0) != 0 || node.input(7).is_some() {
            return Err(node.refused("coupled gates and peepholes are not supported"));
        }
        // The inner half of the sigmoids of input, output and forget gate.
        let (layout, input, directions) =
            self.recurrent(node, &[0.5, 0.5, 0.5, 1.0], 4, &["Sigmoid", "Tanh", "Tanh"])?;
        let step = Lstm {
            input,
            layout,
            directions: directions.clone(),
        };
        let output = self.push(layout.len(), Step::Lstm(step));
        self.tell_recurrent(node, layout, output, &directions);
        if let Some(name) = node.output(2) {
            let cells = View {
                buffer: output,
                offset: layout.cell_at(0),
                shape: vec![layout.directions, 1, layout.hidden],
                strides: vec![layout.width, 0, 1],
            };
            self.tell(name, Value::Computed(cells));
        }
        Ok(())
    }

    pub(super) fn gru(&mut self, node: Node<'a>) -> Result<(), PlanError> {
        let (layout, input, directions) = self.recurrent(node, &[0.5, 0.5, 1.0], 3, &["Sigmoid", "Tanh"])?;
        let step = Gru {
            input,
            layout,
            directions: directions.clone(),
        };
        let output = self.push(layout.len(), Step::Gru(step));
        self.tell_recurrent(node, layout, output, &directions);
        Ok(())
    }

    /// All hidden values, and the last ones.
    fn tell_recurrent(&mut self, node: Node<'a>, layout: Layout, output: usize, directions: &[Direction]) {
        let Layout {
            times,
            directions: count,
            hidden,
            ..
        } = layout;
        let all = View {
            buffer: output,
            offset: 0,
            shape: vec![times, count, 1, hidden],
            strides: vec![count * hidden, hidden, 0, 1],
        };
        if let Some(name) = node.output(0) {
            self.tell(name, Value::Computed(all.clone()));
        }
        let Some(name) = node.output(1) else { return };
        let last_of = |direction: &Direction| if direction.is_reverse { 0 } else { times - 1 };
        let [first, second] = [directions.first(), directions.get(1)].map(|one| one.map_or(0, last_of));
        let mut last = all.selected(0, first);
        if count == 2 {
            // From the end of the one to the beginning of the other.
            let from = first * count * hidden;
            let to = (second * count + 1) * hidden;
            if to < from {
                // Strides do not go backwards: both are copied.
                let parts = [
                    all.selected(0, first).sliced(0, 0, 1, 1),
                    all.selected(0, second).sliced(0, 1, 1, 1),
                ];
                let parts = parts.map(Value::Computed);
                if let Ok(value) = self.joined(node, &parts, 0) {
                    self.tell(name, value);
                }
                return;
            }
            last.strides[0] = to - from;
        }
        self.tell(name, Value::Computed(last));
    }

    /// The layout, the buffer with what the rows contribute, and what each direction needs. `factors`: by gate.
    fn recurrent(
        &mut self,
        node: Node<'_>,
        factors: &[f32],
        gates: usize,
        functions: &[&str],
    ) -> Result<(Layout, usize, Vec<Direction>), PlanError> {
        let input = self.computed(node, 0)?;
        let [times, 1, inputs] = input.shape[..] else {
            return Err(node.refused(format!("its input has to be [times, 1, inputs], is {:?}", input.shape)));
        };
        if node.int("layout", 0) != 0 || node.has("clip") {
            return Err(node.refused("layout 1 and clip are not supported"));
        }
        let is_reverse: &[bool] = match node.text("direction", "forward") {
            "forward" => &[false],
            "reverse" => &[true],
            _ => &[false, true],
        };
        let mut asked = node.texts("activations");
        let expected = || (0..is_reverse.len()).flat_map(|_| functions.iter());
        if asked.len() > 0
            && !expected().all(|function| asked.next().is_some_and(|asked| asked.eq_ignore_ascii_case(function)))
        {
            return Err(node.refused(format!("its activations have to be {functions:?}")));
        }
        if let Some(lengths) = self.integers(node, 4)?
            && lengths.iter().any(|len| *len != times as i64)
        {
            return Err(node.refused("its sequence is shorter than its input"));
        }
        let hidden = usize::try_from(node.int("hidden_size", 0)).unwrap_or(0);
        let count = is_reverse.len();
        let block = gates * hidden;
        let needed = |index: usize, len: usize| {
            let values = self.floats(node, index)?.filter(|values| values.len() == len);
            values
                .map(<[f32]>::to_vec)
                .ok_or_else(|| node.refused(format!("input {index} has to be {len} constant floats")))
        };
        let optional = |index: usize, len: usize| match node.input(index) {
            Some(_) => needed(index, len),
            None => Ok(vec![0.0; len]),
        };
        if hidden == 0 || times == 0 {
            return Err(node.refused("it has no hidden values, or no rows"));
        }
        let (w, r) = (needed(1, count * block * inputs)?, needed(2, count * block * hidden)?);
        let b = optional(3, count * 2 * block)?;
        let h = optional(5, count * hidden)?;
        let c = if gates == 4 {
            optional(6, count * hidden)?
        } else {
            vec![0.0; count * hidden]
        };
        let layout = Layout {
            times,
            directions: count,
            hidden,
            width: hidden.next_multiple_of(LANES),
            gates,
        };
        let resets_after = gates == 3 && node.int("linear_before_reset", 0) != 0;
        let columns = count * gates * layout.width;
        let (mut weights, mut bias) = (vec![0.0; inputs * columns], vec![0.0; columns]);
        let mut directions = Vec::new();
        for (index, is_reverse) in is_reverse.iter().enumerate() {
            let own = Given {
                input: &w[index * block * inputs..][..block * inputs],
                recurrence: &r[index * block * hidden..][..block * hidden],
                bias: &b[index * 2 * block..][..2 * block],
            };
            let mut direction = own.direction(layout, factors, resets_after, gates == 3);
            direction.is_reverse = *is_reverse;
            direction.initial_h = h[index * hidden..][..hidden].to_vec();
            direction.initial_c = c[index * hidden..][..hidden].to_vec();
            directions.push(direction);
            for (gate, factor) in factors.iter().enumerate() {
                for unit in 0..hidden {
                    let column = (index * gates + gate) * layout.width + unit;
                    let row = gate * hidden + unit;
                    for from in 0..inputs {
                        weights[from * columns + column] = own.input[row * inputs + from] * factor;
                    }
                    let recurrent = if resets_after && gate == 2 {
                        0.0
                    } else {
                        own.bias[block + row]
                    };
                    bias[column] = (own.bias[row] + recurrent) * factor;
                }
            }
        }
        let input = self.with_dense_axis(input, 2);
        let weights = Weights::of_rows(weights, columns);
        let projected = self.affine_rows(&input, weights, bias, columns);
        self.shared[projected] = true;
        Ok((layout, projected, directions))
    }
}

impl Given<'_> {
    /// The recurrence, a row for each hidden value.
    fn direction(&self, layout: Layout, factors: &[f32], resets_after: bool, is_gru: bool) -> Direction {
        let Layout {
            hidden, width, gates, ..
        } = layout;
        let rows = |chosen: std::ops::Range<usize>| {
            let mut rows = vec![0.0; hidden * chosen.len() * width];
            for (place, gate) in chosen.clone().enumerate() {
                for unit in 0..hidden {
                    for from in 0..hidden {
                        let weight = self.recurrence[(gate * hidden + unit) * hidden + from];
                        rows[from * chosen.len() * width + place * width + unit] = weight * factors[gate];
                    }
                }
            }
            Weights::of_rows(rows, chosen.len() * width)
        };
        let resets_before = is_gru && !resets_after;
        let mut candidate_bias = Vec::new();
        if resets_after {
            candidate_bias = vec![0.0; gates * width];
            let own = &self.bias[(gates + 2) * hidden..][..hidden];
            candidate_bias[2 * width..][..hidden].copy_from_slice(own);
        }
        Direction {
            is_reverse: false,
            recurrence: rows(0..if resets_before { 2 } else { gates }),
            candidate_bias,
            candidate: if resets_before { rows(2..3) } else { Weights::default() },
            initial_h: Vec::new(),
            initial_c: Vec::new(),
        }
    }
}
