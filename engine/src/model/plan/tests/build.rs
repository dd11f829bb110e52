//! ONNX files by hand.

use tract_onnx::pb;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;

/// An attribute of a node.
pub(super) enum Attribute<'a> {
    Int(i64),
    Ints(&'a [i64]),
    Float(f32),
    Floats(&'a [f32]),
    Text(&'a str),
    Texts(Vec<&'a str>),
    Tensor(Box<pb::TensorProto>),
}

pub(super) fn node(
    op: &str,
    domain: &str,
    inputs: &[&str],
    outputs: &[&str],
    attributes: &[(&str, Attribute<'_>)],
) -> pb::NodeProto {
    let text = |text: &&str| (*text).to_owned();
    let attribute = |(name, value): &(&str, Attribute<'_>)| {
        let mut attribute = pb::AttributeProto {
            name: (*name).to_owned(),
            ..Default::default()
        };
        let kind = match value {
            Attribute::Int(value) => {
                attribute.i = *value;
                AttributeType::Int
            }
            Attribute::Ints(values) => {
                attribute.ints = values.to_vec();
                AttributeType::Ints
            }
            Attribute::Float(value) => {
                attribute.f = *value;
                AttributeType::Float
            }
            Attribute::Floats(values) => {
                attribute.floats = values.to_vec();
                AttributeType::Floats
            }
            Attribute::Text(value) => {
                attribute.s = value.as_bytes().to_vec();
                AttributeType::String
            }
            Attribute::Texts(values) => {
                attribute.strings = values.iter().map(|value| value.as_bytes().to_vec()).collect();
                AttributeType::Strings
            }
            Attribute::Tensor(value) => {
                attribute.t = Some((**value).clone());
                AttributeType::Tensor
            }
        };
        attribute.r#type = kind as i32;
        attribute
    };
    pb::NodeProto {
        op_type: op.to_owned(),
        domain: domain.to_owned(),
        name: op.to_lowercase(),
        input: inputs.iter().map(text).collect(),
        output: outputs.iter().map(text).collect(),
        attribute: attributes.iter().map(attribute).collect(),
        ..Default::default()
    }
}

pub(super) fn floats(name: &str, shape: &[usize], values: &[f32]) -> pb::TensorProto {
    pb::TensorProto {
        name: name.to_owned(),
        dims: shape.iter().map(|len| *len as i64).collect(),
        data_type: DataType::Float as i32,
        raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        ..Default::default()
    }
}

pub(super) fn integers(name: &str, values: &[i64]) -> pb::TensorProto {
    pb::TensorProto {
        name: name.to_owned(),
        dims: vec![values.len() as i64],
        data_type: DataType::Int64 as i32,
        raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        ..Default::default()
    }
}

pub(super) fn bytes(name: &str, values: &[u8]) -> pb::TensorProto {
    pb::TensorProto {
        name: name.to_owned(),
        dims: vec![values.len() as i64],
        data_type: DataType::Uint8 as i32,
        raw_data: values.to_vec(),
        ..Default::default()
    }
}

/// A model from `x` to `y`.
pub(super) fn model(shape: &[usize], nodes: Vec<pb::NodeProto>, constants: Vec<pb::TensorProto>) -> pb::ModelProto {
    use pb::tensor_shape_proto::{Dimension, dimension::Value};
    let dim = |len: &usize| Dimension {
        value: Some(Value::DimValue(*len as i64)),
        ..Default::default()
    };
    let tensor = |shape: Option<&[usize]>| pb::type_proto::Tensor {
        elem_type: DataType::Float as i32,
        shape: shape.map(|shape| pb::TensorShapeProto {
            dim: shape.iter().map(dim).collect(),
        }),
    };
    let info = |name: &str, shape: Option<&[usize]>| pb::ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(pb::TypeProto {
            value: Some(pb::type_proto::Value::TensorType(tensor(shape))),
            ..Default::default()
        }),
        ..Default::default()
    };
    let import = |domain: &str, version: i64| pb::OperatorSetIdProto {
        domain: domain.to_owned(),
        version,
    };
    pb::ModelProto {
        ir_version: 8,
        opset_import: vec![import("", 17), import("ai.onnx.ml", 3)],
        graph: Some(pb::GraphProto {
            name: "test".to_owned(),
            node: nodes,
            initializer: constants,
            input: vec![info("x", Some(shape))],
            output: vec![info("y", None)],
            ..Default::default()
        }),
        ..Default::default()
    }
}
