//! The judge of a plan: the same graph on tract, at load.
//!
//! tract has its own parser, its own operators and its own kernels, so that what both say is right. It allocates on every
//! call, which is why it does not run models here, and it knows less: it refuses some operators that plans have, and it
//! misreads some comparisons of trees. A model that it cannot run is not judged, and says so.
//!
//! A state keeps the hidden state of a recurrent operator from one run to the next; such operators are told to start anew.

use std::fmt;
use std::path::Path;

use tract_onnx::data_resolver::ModelDataResolver;
use tract_onnx::pb;
use tract_onnx::prelude::{
    Arc, Datum, Framework, InferenceModelExt as _, IntoRunnable as _, IntoTValue, TVec, Tensor, TractResult,
    TypedRunnableModel, TypedSimpleState, tvec,
};
use tract_onnx::tract_core::ops::gru_seq::GruSeq;
use tract_onnx::tract_core::ops::scan::Scan;
use tract_onnx::tract_hir::infer::InferenceFact;
use tract_onnx::{Onnx, onnx};

use super::load::LoadError;
use super::plan::{Plan, PlanError};

/// What tract says, with the chain of its reasons.
#[derive(Debug)]
pub struct TractError(TractErrorInner);

type TractErrorInner = tract_onnx::prelude::TractError;

impl fmt::Display for TractError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

impl std::error::Error for TractError {}

/// A parsed ONNX file.
pub(super) struct OnnxFile {
    proto: pb::ModelProto,
    onnx: Onnx,
}

impl OnnxFile {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, LoadError> {
        let mut onnx = onnx();
        onnx.provider = Arc::new(OneFile);
        let proto = onnx
            .proto_model_for_read(&mut &*bytes)
            .map_err(|error| LoadError::NotOnnx(TractError(error)))?;
        Ok(Self { proto, onnx })
    }

    /// The value of a metadata entry.
    pub(super) fn metadata(&self, key: &str) -> Option<&str> {
        self.proto
            .metadata_props
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| &*entry.value)
    }

    /// The plan for the named output, from an input of that shape.
    pub(super) fn plan(&self, output: &str, shape: &[usize]) -> Result<Plan, LoadError> {
        let graph = self.proto.graph.as_ref().ok_or(LoadError::Plan(PlanError::NoGraph))?;
        check_external(graph)?;
        check_input(graph, shape)?;
        if !graph.output.iter().any(|candidate| candidate.name == output) {
            let names: Vec<&str> = graph.output.iter().map(|candidate| &*candidate.name).collect();
            return Err(LoadError::NoOutput {
                name: output.escape_debug().collect(),
                got: format!("{names:?}"),
            });
        }
        let plan = Plan::of_proto(&self.proto, output, shape).map_err(LoadError::Plan)?;
        match plan.output_shape() {
            [1, 3] => Ok(plan),
            other => Err(LoadError::OutputShape { got: other.to_vec() }),
        }
    }

    /// What judges that plan.
    ///
    /// # Errors
    /// Why it cannot be judged.
    pub(super) fn reference(&self, output: &str, shape: &[usize]) -> Result<Reference, TractError> {
        let outputs = self.proto.graph.iter().flat_map(|graph| &graph.output);
        let index = outputs
            .map(|output| &output.name)
            .position(|name| name == output)
            .unwrap_or(0);
        let plan = self.build(index, shape).map_err(TractError)?;
        let state = plan.spawn().map_err(TractError)?;
        let input = Arc::new(Tensor::zero::<f32>(shape).map_err(TractError)?);
        Ok(Reference {
            state,
            input,
            shape: shape.into(),
        })
    }

    fn build(&self, output_index: usize, shape: &[usize]) -> TractResult<Arc<TypedRunnableModel>> {
        let mut model = self.onnx.model_for_proto_model(&self.proto)?;
        let outlet = model.output_outlets()?[output_index];
        model.select_output_outlets(&[outlet])?;
        model.set_input_fact(0, InferenceFact::dt_shape(f32::datum_type(), shape))?;
        let mut model = model.into_typed()?.into_decluttered()?;
        for node in model.nodes_mut() {
            if let Some(scan) = node.op_as_mut::<Scan>() {
                scan.reset_every_turn = true;
            }
            if let Some(gru) = node.op_as_mut::<GruSeq>() {
                gru.reset_every_turn = true;
            }
        }
        let fact = model.output_fact(0)?;
        let is_row_of_3 = fact.datum_type == f32::datum_type() && fact.shape.as_concrete() == Some(&[1, 3]);
        if !is_row_of_3 {
            return Err(message(&format!("its output must be f32 of shape [1, 3], is {fact:?}")).0);
        }
        model.into_optimized()?.into_runnable()
    }
}

/// A running state and the tensor that it reads.
pub(super) struct Reference {
    state: TypedSimpleState,
    input: Arc<Tensor>,
    shape: TVec<usize>,
}

impl Reference {
    /// The graph's answer for one input.
    pub(super) fn answer(&mut self, input: &[f32]) -> Result<[f32; 3], TractError> {
        self.try_run(input).map_err(TractError)
    }

    fn try_run(&mut self, input: &[f32]) -> TractResult<[f32; 3]> {
        // The state lets go of the tensor after a run, so that it can be written again. If ever it does not, a new one.
        if Arc::get_mut(&mut self.input).is_none() {
            self.input = Arc::new(Tensor::zero::<f32>(&self.shape)?);
        }
        let tensor = Arc::get_mut(&mut self.input).expect("no one else has it: it was just checked or made");
        tensor
            .try_as_plain_ram_mut()?
            .as_slice_mut::<f32>()?
            .copy_from_slice(input);
        let outputs = self.state.run(tvec![Arc::clone(&self.input).into_tvalue()])?;
        let mut probabilities = [0.0; 3];
        probabilities.copy_from_slice(outputs[0].try_as_plain_ram()?.as_slice::<f32>()?);
        Ok(probabilities)
    }
}

/// Weights come from the file itself: a model must not make the engine read other files.
struct OneFile;

impl ModelDataResolver for OneFile {
    fn read_bytes_from_path(&self, _: &mut Vec<u8>, path: &Path, _: usize, _: Option<usize>) -> TractResult<()> {
        Err(message(&format!("the model refers to the file {}", path.display())).0)
    }
}

fn check_external(graph: &pb::GraphProto) -> Result<(), LoadError> {
    let external = graph
        .initializer
        .iter()
        .find(|tensor| tensor.data_location == Some(1) || !tensor.external_data.is_empty());
    match external {
        Some(tensor) => Err(LoadError::ExternalData {
            tensor: tensor.name.escape_debug().collect(),
        }),
        None => Ok(()),
    }
}

/// The declared input must be of the shape, or leave dimensions open.
fn check_input(graph: &pb::GraphProto, shape: &[usize]) -> Result<(), LoadError> {
    let mut inputs = graph
        .input
        .iter()
        .filter(|input| !graph.initializer.iter().any(|tensor| tensor.name == input.name));
    let mismatch = |got: String| {
        Err(LoadError::InputShape {
            got,
            expected: format!("one f32 input of {shape:?}"),
        })
    };
    let (Some(input), None) = (inputs.next(), inputs.next()) else {
        return mismatch("no input or more than one".to_owned());
    };
    let Some(pb::type_proto::Value::TensorType(tensor)) = input.r#type.as_ref().and_then(|kind| kind.value.as_ref())
    else {
        return mismatch("an input without a type".to_owned());
    };
    let Some(declared) = &tensor.shape else { return Ok(()) };
    use pb::tensor_shape_proto::dimension::Value;
    let fits = declared.dim.len() == shape.len()
        && declared.dim.iter().zip(shape).all(|(dim, &expected)| match dim.value {
            Some(Value::DimValue(value)) => value == expected as i64,
            _ => true,
        });
    if fits {
        return Ok(());
    }
    let dims: Vec<String> = declared
        .dim
        .iter()
        .map(|dim| match &dim.value {
            Some(Value::DimValue(value)) => value.to_string(),
            _ => "?".to_owned(),
        })
        .collect();
    mismatch(format!("[{}]", dims.join(", ")))
}

fn message(text: &str) -> TractError {
    TractError(TractErrorInner::msg(text.to_owned()))
}
