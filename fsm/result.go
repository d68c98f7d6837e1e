package fsm

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-kv/holdfast/fsm/fsmpb"
	"github.com/holdfast-kv/holdfast/kvs"
)

// EncodeResult returns the bytes of a result, for the server that the command was
// proposed through. Who made the versions that are shown is left out.
func EncodeResult(r *Result) ([]byte, error) {
	msg := &fsmpb.Result{
		Index: r.Index, Applied: r.Applied, Invalid: r.Invalid, Key: []byte(r.Key), Fence: r.Fence, Ended: uint64(r.Ended),
	}
	for _, s := range r.Shown {
		v := s.Entry
		msg.Shown = append(msg.Shown, &fsmpb.Result_Shown{Key: []byte(v.Key), Value: s.Value, Version: &fsmpb.Version{
			Value: v.Value, Flags: v.Flags, Session: []byte(v.Session), LockIndex: v.LockIndex,
			CreateIndex: v.CreateIndex, ModifyIndex: v.ModifyIndex, Time: v.Time, Kind: uint32(v.Kind),
		}})
	}
	for _, e := range r.Errors {
		msg.Errors = append(msg.Errors, &fsmpb.Result_Error{OpIndex: uint32(e.OpIndex), What: []byte(e.What)})
	}
	if f := r.Fenced; f != nil {
		msg.Fenced = &fsmpb.Result_Fenced{Key: []byte(f.Key), Asked: f.Asked, Newest: f.Newest}
	}
	data, err := proto.Marshal(msg)
	if err != nil {
		return nil, fmt.Errorf("encode result: %w", err)
	}
	return data, nil
}

// DecodeResult reads what EncodeResult wrote.
func DecodeResult(data []byte) (Result, error) {
	msg := &fsmpb.Result{}
	if err := proto.Unmarshal(data, msg); err != nil {
		return Result{}, fmt.Errorf("decode result: %w", err)
	}
	r := Result{
		Index: msg.GetIndex(), Applied: msg.GetApplied(), Invalid: msg.GetInvalid(),
		Key: string(msg.GetKey()), Fence: msg.GetFence(), Ended: int(msg.GetEnded()),
	}
	for _, s := range msg.GetShown() {
		v := s.GetVersion()
		r.Shown = append(r.Shown, kvs.Shown{Value: s.GetValue(), Entry: &kvs.Version{
			Key: string(s.GetKey()), Value: v.GetValue(), Flags: v.GetFlags(), Session: string(v.GetSession()),
			LockIndex: v.GetLockIndex(), CreateIndex: v.GetCreateIndex(), ModifyIndex: v.GetModifyIndex(),
			Time: v.GetTime(), Kind: kvs.Kind(v.GetKind()),
		}})
	}
	for _, e := range msg.GetErrors() {
		r.Errors = append(r.Errors, TxnError{OpIndex: int(e.GetOpIndex()), What: string(e.GetWhat())})
	}
	if f := msg.GetFenced(); f != nil {
		r.Fenced = &kvs.FenceError{Key: string(f.GetKey()), Asked: f.GetAsked(), Newest: f.GetNewest()}
	}
	return r, nil
}
