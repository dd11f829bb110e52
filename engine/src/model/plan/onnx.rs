//! What the lowering asks of an ONNX file: nodes with typed attributes, and constant tensors.
//!
//! The messages are `tract-onnx`'s; nothing else of the plan knows them.

use tract_onnx::pb;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;

use super::PlanError;
use super::tensor::{Data, Tensor};

/// A node of the graph, with what is needed to complain about it.
#[derive(Clone, Copy)]
pub(super) struct Node<'a>(pub(super) &'a pb::NodeProto);

impl<'a> Node<'a> {
    /// The operator, with its domain where that is not ONNX's own.
    pub(super) fn op(self) -> String {
        match &*self.0.domain {
            "" | "ai.onnx" => self.0.op_type.clone(),
            domain => format!("{domain}:{}", self.0.op_type),
        }
    }

    /// The name of an input; `None` where it is left out.
    pub(super) fn input(self, index: usize) -> Option<&'a str> {
        self.0
            .input
            .get(index)
            .map(|name| &**name)
            .filter(|name| !name.is_empty())
    }

    pub(super) fn output(self, index: usize) -> Option<&'a str> {
        self.0
            .output
            .get(index)
            .map(|name| &**name)
            .filter(|name| !name.is_empty())
    }

    /// This operator, and why it cannot be lowered.
    pub(super) fn refused(self, why: impl Into<String>) -> PlanError {
        PlanError::Operator {
            operator: self.op(),
            node: self.0.name.clone(),
            why: why.into(),
        }
    }

    fn attribute(self, name: &str) -> Option<&'a pb::AttributeProto> {
        self.0.attribute.iter().find(|attribute| attribute.name == name)
    }

    pub(super) fn has(self, name: &str) -> bool {
        self.attribute(name).is_some()
    }

    pub(super) fn int(self, name: &str, default: i64) -> i64 {
        self.attribute(name).map_or(default, |attribute| attribute.i)
    }

    pub(super) fn float(self, name: &str, default: f32) -> f32 {
        self.attribute(name).map_or(default, |attribute| attribute.f)
    }

    pub(super) fn text(self, name: &str, default: &'a str) -> &'a str {
        self.attribute(name)
            .and_then(|attribute| std::str::from_utf8(&attribute.s).ok())
            .unwrap_or(default)
    }

    pub(super) fn ints(self, name: &str) -> &'a [i64] {
        self.attribute(name).map_or(&[], |attribute| &attribute.ints)
    }

    pub(super) fn floats(self, name: &str) -> &'a [f32] {
        self.attribute(name).map_or(&[], |attribute| &attribute.floats)
    }

    pub(super) fn texts(self, name: &str) -> impl ExactSizeIterator<Item = &'a str> {
        let texts = self.attribute(name).map_or(&[][..], |attribute| &attribute.strings);
        texts.iter().map(|text| std::str::from_utf8(text).unwrap_or(""))
    }

    /// Whether an attribute is a tensor of doubles.
    pub(super) fn is_double(self, name: &str) -> bool {
        let proto = self.attribute(name).and_then(|attribute| attribute.t.as_ref());
        proto.is_some_and(|proto| proto.data_type == DataType::Double as i32)
    }

    /// An attribute that is a tensor.
    pub(super) fn tensor_of(self, name: &str) -> Result<Option<Tensor>, PlanError> {
        let proto = self.attribute(name).and_then(|attribute| attribute.t.as_ref());
        proto.map(tensor).transpose()
    }

    /// The constant of a `Constant` node, or the value of a `ConstantOfShape`.
    pub(super) fn tensor(self) -> Result<Option<Tensor>, PlanError> {
        for attribute in &self.0.attribute {
            let kind = AttributeType::try_from(attribute.r#type).unwrap_or(AttributeType::Undefined);
            let found = match (&*attribute.name, kind) {
                ("value", _) => match &attribute.t {
                    Some(proto) => tensor(proto)?,
                    None => continue,
                },
                ("value_float", _) => Tensor::scalar(Data::F32(vec![attribute.f])),
                ("value_int", _) => Tensor::scalar(Data::I64(vec![attribute.i])),
                ("value_floats", _) => Tensor::row(Data::F32(attribute.floats.clone())),
                ("value_ints", _) => Tensor::row(Data::I64(attribute.ints.clone())),
                _ => continue,
            };
            return Ok(Some(found));
        }
        Ok(None)
    }
}

/// A constant of the file. Doubles become floats, all whole numbers and booleans `i64`.
pub(super) fn tensor(proto: &pb::TensorProto) -> Result<Tensor, PlanError> {
    let refused = |why: &str| PlanError::Tensor {
        tensor: proto.name.clone(),
        why: why.to_owned(),
    };
    let dim = |&dim: &i64| usize::try_from(dim).map_err(|_| refused("a dimension is negative"));
    let shape: Vec<usize> = proto.dims.iter().map(dim).collect::<Result<_, _>>()?;
    let raw = &proto.raw_data;
    let data_type = DataType::try_from(proto.data_type).map_err(|_| refused("its type is unknown"))?;
    let data = match data_type {
        DataType::Float if raw.is_empty() => Data::F32(proto.float_data.clone()),
        DataType::Float => Data::F32(words(raw, f32::from_le_bytes)),
        DataType::Double if raw.is_empty() => Data::F32(proto.double_data.iter().map(|value| *value as f32).collect()),
        DataType::Double => Data::F32(words(raw, |bytes| f64::from_le_bytes(bytes) as f32)),
        DataType::Int64 if raw.is_empty() => Data::I64(proto.int64_data.clone()),
        DataType::Int64 => Data::I64(words(raw, i64::from_le_bytes)),
        DataType::Int32 if !raw.is_empty() => Data::I64(words(raw, |bytes| i64::from(i32::from_le_bytes(bytes)))),
        DataType::Bool if !raw.is_empty() => Data::I64(raw.iter().map(|byte| i64::from(*byte != 0)).collect()),
        DataType::Uint8 if !raw.is_empty() => Data::I64(raw.iter().map(|byte| i64::from(*byte)).collect()),
        DataType::Int32 | DataType::Bool | DataType::Uint8 => {
            Data::I64(proto.int32_data.iter().map(|value| i64::from(*value)).collect())
        }
        other => return Err(refused(&format!("its type {other:?} is not supported"))),
    };
    let count = shape.iter().try_fold(1_usize, |count, dim| count.checked_mul(*dim));
    if count != Some(data.len()) {
        return Err(refused("it has another number of elements than its shape says"));
    }
    Ok(Tensor { shape, data })
}

fn words<const N: usize, T>(bytes: &[u8], read: impl Fn([u8; N]) -> T) -> Vec<T> {
    let (words, _) = bytes.as_chunks::<N>();
    words.iter().map(|word| read(*word)).collect()
}
