//! tract: one state and one input tensor that are used again and again.
//!
//! A state keeps the hidden values of a recurrent operator from one run to the next, which is not what the models mean;
//! such operators are told to start anew. Each run still allocates.

use tract_onnx::onnx;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::gru_seq::GruSeq;
use tract_onnx::tract_core::ops::scan::Scan;
use tract_onnx::tract_hir::infer::InferenceFact;

use super::{Runtime, Stream, Subject};

/// A running state, the tensor that it reads and what it answered.
#[derive(Debug)]
pub struct Tract {
    state: TypedSimpleState,
    input: Arc<Tensor>,
    answer: Vec<f32>,
}

impl Tract {
    /// Builds the optimised model.
    pub fn new(subject: &Subject, output_len: usize) -> TractResult<Self> {
        let file = onnx().proto_model_for_read(&mut &*subject.onnx)?;
        let outputs = file.graph.iter().flat_map(|graph| &graph.output);
        let index = outputs
            .map(|output| &output.name)
            .position(|name| *name == subject.output);
        let mut model = onnx().model_for_proto_model(&file)?;
        let outlet = model.output_outlets()?[index.unwrap_or(0)];
        model.select_output_outlets(&[outlet])?;
        model.set_input_fact(0, InferenceFact::dt_shape(f32::datum_type(), &subject.shape))?;
        let mut model = model.into_typed()?.into_decluttered()?;
        for node in model.nodes_mut() {
            if let Some(scan) = node.op_as_mut::<Scan>() {
                scan.reset_every_turn = true;
            }
            if let Some(gru) = node.op_as_mut::<GruSeq>() {
                gru.reset_every_turn = true;
            }
        }
        let mut own = Self {
            state: model.into_optimized()?.into_runnable()?.spawn()?,
            input: Arc::new(Tensor::zero::<f32>(&subject.shape)?),
            answer: vec![0.0; output_len],
        };
        // So that what it cannot run is known before the clock does.
        own.run(subject.stream.window(0))?;
        Ok(own)
    }

    fn run(&mut self, window: &[f32]) -> TractResult<()> {
        let input = Arc::get_mut(&mut self.input).expect("a state lets go of its inputs after a run");
        input
            .try_as_plain_ram_mut()?
            .as_slice_mut::<f32>()?
            .copy_from_slice(window);
        let outputs = self.state.run(tvec![Arc::clone(&self.input).into_tvalue()])?;
        self.answer
            .copy_from_slice(outputs[0].try_as_plain_ram()?.as_slice::<f32>()?);
        Ok(())
    }
}

impl Runtime for Tract {
    fn answer(&mut self, stream: &Stream, newest: usize) -> &[f32] {
        self.run(stream.window(newest)).expect("it ran when it was made");
        &self.answer
    }
}
