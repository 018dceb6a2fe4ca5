use framewire::frames::{encode, Decoder, Frame, FrameError, MOST_PAYLOAD};
use framewire::session::{Session, SessionError, ACK};
use framewire::varint::{read, write, VarintError};

#[test]
fn numbers_come_back() {
    for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
        let mut out = Vec::new();
        write(value, &mut out);
        assert_eq!(read(&out), Ok((value, out.len())));
        assert_eq!(read(&out[..out.len() - 1]), Err(VarintError::Short));
    }
    assert_eq!(read(&[0xff; 11]), Err(VarintError::Overflow));
    assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]), Err(VarintError::Overflow));
}

#[test]
fn frames_come_back_in_any_pieces() {
    let frames = vec![Frame { kind: 7, payload: vec![] }, Frame { kind: 1, payload: vec![9; 300] }];
    let mut wire = Vec::new();
    for frame in &frames {
        encode(frame, &mut wire);
    }
    let mut decoder = Decoder::default();
    let mut got = Vec::new();
    for byte in &wire {
        decoder.feed(&[*byte]);
        while let Some(frame) = decoder.next_frame().unwrap() {
            got.push(frame);
        }
    }
    assert_eq!(got, frames);
    assert!(decoder.is_between_frames());
    decoder.feed(&[5]);
    assert!(!decoder.is_between_frames());
}

#[test]
fn bad_lengths_are_refused() {
    let mut decoder = Decoder::default();
    decoder.feed(&[0]);
    assert_eq!(decoder.next_frame(), Err(FrameError::Empty));
    let mut wire = Vec::new();
    write(MOST_PAYLOAD + 2, &mut wire);
    let mut decoder = Decoder::default();
    decoder.feed(&wire);
    assert_eq!(decoder.next_frame(), Err(FrameError::TooLong(MOST_PAYLOAD + 1)));
}

#[test]
fn a_session_sends_again_what_was_not_acknowledged() {
    let (mut one, mut other) = (Session::new(2), Session::new(2));
    let first = one.send(b"a").unwrap();
    let second = one.send(b"b").unwrap();
    assert_eq!(one.send(b"c"), Err(SessionError::Full));
    assert_eq!(other.receive(&first), Ok(Some(b"a".to_vec())));
    assert_eq!(other.receive(&first), Ok(None));
    one.receive(&other.ack()).unwrap();
    assert_eq!(one.resend(), vec![second.clone()]);
    assert_eq!(other.receive(&second), Ok(Some(b"b".to_vec())));
    one.receive(&other.ack()).unwrap();
    assert!(one.resend().is_empty());
    assert_eq!(one.receive(&Frame { kind: ACK, payload: vec![3] }), Err(SessionError::UnknownAck(3)));
    let gap = Frame { kind: 1, payload: vec![9] };
    assert_eq!(other.receive(&gap), Err(SessionError::Malformed));
    assert_eq!(other.receive(&Frame { kind: 1, payload: vec![] }), Err(SessionError::Malformed));
}
