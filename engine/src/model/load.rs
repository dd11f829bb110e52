//! From a file to a model that may speak.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha1::{Digest, Sha1};

use super::contract::{CONTRACT_KEY, Contract, InputColumn};
use super::judge::{Judgement, self_check};
use super::plan::{Plan, PlanError};
use super::predict::{PredictError, Prediction, Predictor};
use super::reference::{OnnxFile, TractError};
use crate::features::{FEATURE_COUNT, Feature};

/// A model that was checked. Immutable, shared by the predictors of all instruments.
#[derive(Debug)]
pub struct Model {
    contract: Contract,
    inputs: Box<[InputColumn]>,
    hash: u64,
    plan: Plan,
    judgement: Judgement,
}

/// Why a model was not loaded. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file could not be read.
    #[error("read model {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is larger than any model that this engine could run in time.
    #[error("model has more than {FILE_BYTES_MAX} bytes: a model of that size cannot keep up with a book")]
    TooLarge,
    /// Not a protobuf of the ONNX schema.
    #[error("not an ONNX model: the file is damaged or of another format")]
    NotOnnx(#[source] TractError),
    /// There is no contract in the metadata.
    #[error(
        "the model has no metadata entry `{CONTRACT_KEY}`: features and normalisation are unknown; export it with \
         scripts/train, or add the entry with the onnx package"
    )]
    NoContract,
    /// The contract is not the JSON that it should be.
    #[error("the contract in metadata entry `{CONTRACT_KEY}` cannot be read")]
    BadContract(#[source] serde_json::Error),
    /// The contract is of another schema.
    #[error(
        "the contract has schema {got}, this engine reads {supported}: export the model with the scripts of this engine's version"
    )]
    Schema {
        /// The contract's.
        got: u32,
        /// The engine's.
        supported: u32,
    },
    /// The model looks at a feature that the engine does not compute.
    #[error(
        "the model looks at feature `{name}`, which this engine does not compute (nearest name: `{nearest}`): retrain it on the engine's features, or run the engine that it was trained for"
    )]
    UnknownFeature {
        /// The model's word.
        name: String,
        /// The nearest name in the registry.
        nearest: &'static str,
    },
    /// The feature computes something else than it did when the model was trained.
    #[error(
        "the model was trained on version {model} of feature `{name}`, this engine computes version {engine}: retrain it, or run the engine that it was trained for"
    )]
    FeatureVersion {
        /// Which feature.
        name: &'static str,
        /// The model's version.
        model: u16,
        /// The engine's version.
        engine: u16,
    },
    /// A feature stands in the contract twice.
    #[error("feature `{name}` stands in the contract twice: remove one of its columns and retrain")]
    DuplicateFeature {
        /// Which feature.
        name: String,
    },
    /// A normalisation that yields no numbers.
    #[error(
        "feature `{name}` is normalised with mean {mean} and scale {scale}: both must be finite and the scale above 0; drop a feature that is constant in the training data"
    )]
    Normalisation {
        /// Which feature.
        name: &'static str,
        /// Its mean.
        mean: f32,
        /// Its scale.
        scale: f32,
    },
    /// A field of the contract is outside of what it may be.
    #[error("contract field `{field}` is {got}: allowed is {allowed}")]
    BadField {
        /// Which field.
        field: &'static str,
        /// What it says.
        got: String,
        /// What it may say.
        allowed: &'static str,
    },
    /// The graph has another input than the contract says.
    #[error(
        "the graph takes {got}, the contract's features and window make {expected}: the contract belongs to another graph"
    )]
    InputShape {
        /// The graph's.
        got: String,
        /// The contract's.
        expected: String,
    },
    /// The graph has no such output.
    #[error(
        "the graph has no output `{name}` (it has {got}): name the one with the probabilities in the contract's `output`"
    )]
    NoOutput {
        /// The contract's.
        name: String,
        /// What there is.
        got: String,
    },
    /// The graph's weights are in another file.
    #[error(
        "the model keeps tensor `{tensor}` in another file: save it in one file (onnx.save_model with save_as_external_data=False)"
    )]
    ExternalData {
        /// Which tensor.
        tensor: String,
    },
    /// No plan can be made of the graph.
    #[error("the graph cannot be run")]
    Plan(#[source] PlanError),
    /// The output has another shape than three probabilities.
    #[error(
        "the output has shape {got:?}, not [1, 3]: name the one with the three probabilities in the contract's `output`"
    )]
    OutputShape {
        /// The graph's.
        got: Vec<usize>,
    },
    /// The plan answers something else than the reference does.
    #[error(
        "on {input} the compiled model answers {plan:?} where tract answers {reference:?}: this is a fault of the engine, please report it with the file"
    )]
    Disagrees {
        /// On what.
        input: &'static str,
        /// The plan's answer.
        plan: [f32; 3],
        /// tract's answer.
        reference: [f32; 3],
    },
    /// The plan answers something else row by row than to the same window as a whole.
    #[error(
        "on {input} the compiled model answers a window that has slid otherwise than the same window as a whole: this is a fault of the engine, please report it with the file"
    )]
    Slides {
        /// On what.
        input: &'static str,
    },
    /// The model ran and its answer is no prediction.
    #[error(
        "the model failed the self check on {input}: its probabilities must be finite, within 0..1 and sum to 1; does the graph end in a softmax?"
    )]
    SelfCheck {
        /// On what.
        input: &'static str,
        /// What went wrong.
        source: PredictError,
    },
}

impl Model {
    /// Reads and checks the model in a file. Slow and allocating: for a cold thread.
    pub fn load(path: &Path) -> Result<Arc<Self>, LoadError> {
        let read_error = |source| LoadError::Read {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(read_error)?;
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX + 1)
            .read_to_end(&mut bytes)
            .map_err(read_error)?;
        Self::from_bytes(&bytes)
    }

    /// Checks a model that was read already.
    pub fn from_bytes(bytes: &[u8]) -> Result<Arc<Self>, LoadError> {
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(LoadError::TooLarge);
        }
        let file = OnnxFile::parse(bytes)?;
        let json = file.metadata(CONTRACT_KEY).ok_or(LoadError::NoContract)?;
        let (contract, inputs) = Contract::parse(json)?;
        let shape = contract.input_shape();
        let plan = file.plan(&contract.output, &shape)?;
        let judgement = self_check(&plan, &inputs, &contract, file.reference(&contract.output, &shape))?;
        Ok(Arc::new(Self {
            contract,
            inputs,
            hash: content_hash(bytes),
            plan,
            judgement,
        }))
    }

    /// What it was trained to do.
    pub fn contract(&self) -> &Contract {
        &self.contract
    }

    /// What it looks at, in the order of the columns of its input.
    pub fn features(&self) -> impl Iterator<Item = Feature> + '_ {
        self.inputs.iter().map(|column| column.feature)
    }

    /// The identity of the file: the first 8 bytes of its SHA-1, so the first 16 digits that `sha1sum` prints. It tells
    /// two models apart; it is no defence against a forger.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Whether another runtime has confirmed it.
    pub fn judgement(&self) -> &Judgement {
        &self.judgement
    }

    /// A predictor for one instrument. Allocates: for a cold thread.
    pub fn predictor(self: &Arc<Self>) -> Predictor {
        Predictor::new(Arc::clone(self))
    }

    /// The same, with its memory and the code that it runs touched: its first prediction takes no longer than the others.
    pub fn warm_predictor(self: &Arc<Self>) -> Predictor {
        let mut predictor = self.predictor();
        for _ in 0..=self.contract.window {
            // What comes of it does not matter: a row of zeros is nothing that the model knows.
            let _ = predictor.predict(&[0.0; FEATURE_COUNT], &mut Prediction::default());
        }
        predictor.reset();
        predictor
    }

    /// What runs it.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(super) fn inputs(&self) -> &[InputColumn] {
        &self.inputs
    }
}

/// Models with more bytes are not read.
const FILE_BYTES_MAX: u64 = 64 << 20;

fn content_hash(bytes: &[u8]) -> u64 {
    let digest = Sha1::digest(bytes);
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(first)
}
